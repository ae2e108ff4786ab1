"""Give somebody a login: `python add_user.py NAME`, as the administrator; a new password is asked for.

Needs nothing but Python. MLFLOW_TRACKING_URI is the server, MLFLOW_TRACKING_USERNAME (admin) and
MLFLOW_TRACKING_PASSWORD the administrator's. RAYDD_NEW_PASSWORD gives the password where there is no terminal.
"""

from __future__ import annotations

import base64
import getpass
import json
import os
import sys
import urllib.error
import urllib.request

LEAST = 12


def main() -> None:
    """Make the user, or say why not."""
    if len(sys.argv) != 2:
        sys.exit("usage: add_user.py NAME")
    name, uri = sys.argv[1], os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri.startswith(("http://", "https://")):
        sys.exit("set MLFLOW_TRACKING_URI to the server's address")
    admin = os.environ.get("MLFLOW_TRACKING_USERNAME", "admin")
    own = os.environ.get("MLFLOW_TRACKING_PASSWORD") or getpass.getpass(f"the password of {admin}: ")
    new = os.environ.get("RAYDD_NEW_PASSWORD") or getpass.getpass(f"a new password for {name}: ")
    if len(new) < LEAST:
        sys.exit(f"the password has {len(new)} characters; {LEAST} are the least")
    login = base64.b64encode(f"{admin}:{own}".encode()).decode()
    request = urllib.request.Request(
        f"{uri.rstrip('/')}/api/2.0/mlflow/users/create",
        json.dumps({"username": name, "password": new}).encode(),
        {"Content-Type": "application/json", "Authorization": f"Basic {login}"},
    )
    try:
        urllib.request.urlopen(request, timeout=60).close()
    except urllib.error.HTTPError as error:
        try:
            reason = json.loads(error.read())["message"]
        except (ValueError, KeyError, TypeError):
            reason = error.reason
        sys.exit(f"{name} was not added: {reason}")
    except OSError as error:
        sys.exit(f"{name} was not added: {uri} does not answer ({error})")
    print(f"{name} can log in at {uri}")


if __name__ == "__main__":
    main()
