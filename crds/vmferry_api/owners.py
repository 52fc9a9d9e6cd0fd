"""Who writes which fields of a migration's status: the field managers of server-side apply."""

OPERATOR = "vmferry-operator"
SOURCE_AGENT = "vmferry-source-agent"
TARGET_AGENT = "vmferry-target-agent"
