"""The oldest versions of packages that setup.cfg allows, as pip takes them: ``python .ci/lowest.py numpy scipy``.

Without names: of every package that artasyn needs.
"""

import configparser
import re
import sys
from pathlib import Path

config = configparser.ConfigParser()
config.read(Path(__file__).parent.parent / "setup.cfg")
required = config["options"]["install_requires"].split("\n")
lowest = dict(re.match(r"(\S+) >= ([\d.]+)", line).groups() for line in required if line)
names = {re.sub(r"\[.*\]", "", name): name for name in lowest}
sys.stdout.write(" ".join(f"{names[name]}=={lowest[names[name]]}.*" for name in sys.argv[1:] or names) + "\n")
