"""What stands behind ``loupe review``: findings into the store, and the vertical's page in a browser."""

import subprocess
import webbrowser
from pathlib import Path

from shared.vertical import Vertical
