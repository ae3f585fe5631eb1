"""Every file that memcli writes or reads, but for pictures and real images."""
