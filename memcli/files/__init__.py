"""Every file that memcli writes or reads, except pictures and real images."""
