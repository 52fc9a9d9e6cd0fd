"""`vmferry-agent check` in an agent's pod, as docs/agent.md has it run."""

import os

from doc_pages import ROOT
from doc_pages.blocks import blocks, commands
from doc_pages.shell import Shell
from doc_pages.shown import missing
from vmferry_lab.controlplane.kubeconfigs import client_environment
from vmferry_lab.kubectl import kubectl_path

PAGE = "docs/agent.md"
BLOCKS = [
    each for each in blocks(PAGE, (ROOT / PAGE).read_text()) if each.test == "tests/cluster/test_checks.py"
]


def test_what_the_page_has_run_in_a_pod_finds_nothing_wrong(lab, tmp_path):
    programs = {**os.environ, "PATH": f"{kubectl_path().parent}:{os.environ['PATH']}"}
    (block,) = BLOCKS
    with Shell(ROOT, tmp_path, client_environment(lab.kubectl.kubeconfig, programs)) as shell:
        for command in commands(block):
            code, said = shell.run(command.text)
            assert code == 0, f"{command.text}\n{said}"
            assert missing(command.shown, said) is None, said
    assert "error" not in said
    assert "--connect-uri" not in said
