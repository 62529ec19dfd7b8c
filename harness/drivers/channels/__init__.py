"""Channels to the agent of a host: a serial port, UDP, SSH, or the stream of a console server."""
