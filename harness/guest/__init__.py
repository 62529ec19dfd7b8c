"""Modules that scripts for hosts under test share. Standard library only; `site.zipapp` packs them with each script."""
