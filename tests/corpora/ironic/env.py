"""Point oslo.config at the database, then run ironic's own env.py."""
import runpy
from ironic.conf import CONF
from oslo_db import options
options.set_defaults(CONF)
CONF([], project="ironic", default_config_files=[])
CONF.set_override("connection", "@URL@", group="database")
runpy.run_path("@SITE@/ironic/db/sqlalchemy/alembic/env.py")
