"""Ways to store the numbers of a memory, one file each; memcli.memory.storage registers them. No torch at import."""
