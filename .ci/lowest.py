"""The oldest versions of packages that setup.cfg allows, as pip takes them: ``python .ci/lowest.py numpy scipy``."""

import configparser
import re
import sys
from pathlib import Path

config = configparser.ConfigParser()
config.read(Path(__file__).parent.parent / "setup.cfg")
required = config["options"]["install_requires"]
lowest = dict(re.findall(r"^(\S+?)(?:\[.*\])? >= (\S+)$", required, flags=re.MULTILINE))
sys.stdout.write(" ".join(f"{name}=={lowest[name]}.*" for name in sys.argv[1:]) + "\n")
