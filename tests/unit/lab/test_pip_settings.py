"""What the pip of a build is told of how this machine reaches its index."""

from vmferry_lab.images.pip_settings import bundle, configuration, read

LISTED = """\
:env:.default-timeout='180'
:env:.find-links='/opt/wheels'
:env:.index-url='https://env.example/simple'
global.index-url='https://user:secret@index.example/simple'
global.trusted-host='index.example'
install.retries='7'
"""


def test_the_environment_counts_more_than_files():
    assert read(LISTED)["index-url"] == "https://env.example/simple"


def test_only_what_reaches_the_index_is_passed():
    assert configuration(read(LISTED), certificates=True) == (
        "[global]\nindex-url = https://env.example/simple\ntrusted-host = index.example\n"
        "timeout = 180\nretries = 7\ncert = /run/secrets/ca.crt\n"
    )


def test_without_settings_pip_is_left_as_it_is():
    assert configuration({}, certificates=False) == "[global]\n"


def test_pip_s_own_certificates_count_more_than_others(tmp_path):
    pips, curls = tmp_path / "pip.pem", tmp_path / "curl.pem"
    pips.touch()
    curls.touch()
    environment = {"CURL_CA_BUNDLE": str(curls), "REQUESTS_CA_BUNDLE": str(tmp_path / "missing.pem")}
    assert bundle({"cert": str(pips)}, environment) == pips
    assert bundle({}, environment) == curls
