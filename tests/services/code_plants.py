"""For every bundled rule of the scan of source code: a plant that it must match, and a clean twin doing the same."""

from __future__ import annotations

from pathlib import Path

PLANTS: dict[str, tuple[str, str, str]] = {
    # rule: (file name, plant, clean twin)
    "python-eval": ("a.py", "x = eval(input())\n", "import ast\nx = ast.literal_eval(input())\ny = eval('1 + 1')\n"),
    "python-shell-true": (
        "a.py",
        "import subprocess\nsubprocess.run(f'ls {name}', shell=True)\n",
        "import subprocess\nsubprocess.run(['ls', name])\nsubprocess.run('ls | wc', shell=True)\n",
    ),
    "python-unsafe-yaml": (
        "a.py",
        "import yaml\nyaml.load(text, Loader=yaml.Loader)\n",
        "import yaml\nyaml.safe_load(text)\nyaml.load(text, Loader=yaml.SafeLoader)\n",
    ),
    "python-pickle": (
        "a.py",
        "import pickle\nfrom flask import request\nx = pickle.loads(request.data)\n",
        "import pickle\nx = pickle.loads(Path('own').read_bytes())\n",
    ),
    "python-torch-load": (
        "a.py",
        "import torch\ntorch.load('m.pt')\n",
        "import torch\ntorch.load('m.pt', weights_only=True)\n",
    ),
    "python-tls-not-verified": (
        "a.py",
        "import requests\nrequests.get(url, verify=False)\n",
        "import requests\nrequests.get(url, verify='/etc/ca.pem')\n",
    ),
    "python-hard-coded-password": (
        "a.py",
        "DB_PASSWORD = 'Tr0ub4dor3'\n",
        "import os\nDB_PASSWORD = os.environ['DB_PASSWORD']\npassword = ''\nPASSWORD_FIELD = 'password'\n",
    ),
    "python-weak-password-hash": (
        "a.py",
        "import hashlib\nhashlib.md5(password.encode()).hexdigest()\n",
        "import hashlib\nhashlib.md5(content).hexdigest()\nhashlib.scrypt(password, salt=salt, n=2, r=8, p=1)\n",
    ),
    "python-sql-by-formatting": (
        "a.py",
        "cursor.execute(f'SELECT * FROM t WHERE name = {name}')\n",
        "cursor.execute('SELECT * FROM t WHERE name = %s', (name,))\n",
    ),
    "python-flask-debug": ("a.py", "app.run(debug=True)\n", "app.run(debug=False)\nasyncio.run(main(), debug=True)\n"),
    "python-jinja-without-autoescape": (
        "a.py",
        "import jinja2\njinja2.Environment(loader=x)\n",
        "import jinja2\njinja2.Environment(loader=x, autoescape=True)\n"
        "jinja2.Environment(loader=x, autoescape=jinja2.select_autoescape())\n",
    ),
    "python-template-from-input": (
        "a.py",
        "import flask\nflask.render_template_string(text)\n",
        "import flask\nflask.render_template('page.html', text=text)\n",
    ),
    "python-mktemp": ("a.py", "import tempfile\ntempfile.mktemp()\n", "import tempfile\ntempfile.mkstemp()\n"),
    "python-writable-by-all": ("a.py", "import os\nos.chmod(path, 0o777)\n", "import os\nos.chmod(path, 0o755)\n"),
    "python-assert-for-access": (
        "a.py",
        "def f(user):\n    assert user.is_admin\n",
        "def f(user):\n    assert user is not None\n    if not user.is_admin:\n        raise PermissionError\n",
    ),
    "python-extractall": (
        "a.py",
        "import tarfile\ntarfile.open(path).extractall(target)\n",
        "import tarfile\nimport zipfile\ntarfile.open(path).extractall(target, filter='data')\n"
        "with zipfile.ZipFile(path) as z:\n    z.extractall(target)\n",
    ),
    "python-random-for-secrets": (
        "a.py",
        "import random\ntoken = ''.join(random.choice(letters) for _ in range(20))\n",
        "import random\nimport secrets\ntoken = secrets.token_hex(32)\nface = random.choice(faces)\n",
    ),
    "python-listens-everywhere": (
        "a.py",
        "import uvicorn\nuvicorn.run(app, host='0.0.0.0')\n",
        "import uvicorn\nuvicorn.run(app, host='127.0.0.1')\n",
    ),
    "python-cors-any-origin": (
        "a.py",
        "app.add_middleware(CORSMiddleware, allow_origins=['*'], allow_credentials=True)\n",
        "app.add_middleware(CORSMiddleware, allow_origins=['https://a.example'], allow_credentials=True)\n"
        "app.add_middleware(CORSMiddleware, allow_origins=['*'])\n",
    ),
    "python-path-from-request": (
        "a.py",
        "from flask import request\nname = request.args['name']\nopen('/srv/' + name)\n",
        "from flask import request\nimport os\nname = os.path.basename(request.args['name'])\nopen('/srv/' + name)\n",
    ),
    "javascript-eval": ("a.cjs", "const x = eval(input);\n", "const x = JSON.parse(input);\n"),
    "javascript-inner-html": ("a.tsx", "box.innerHTML = text;\n", "box.textContent = text;\nbox.innerHTML = '';\n"),
    "javascript-child-process": (
        "a.js",
        "const { exec } = require('child_process');\nexec('ls ' + name);\n",
        "const { execFile } = require('child_process');\nexecFile('ls', [name]);\nconst m = /a/.exec(name);\n",
    ),
    "javascript-tls-not-verified": (
        "a.ts",
        "const agent = new https.Agent({ keepAlive: true, rejectUnauthorized: false });\n",
        "const agent = new https.Agent({ keepAlive: true, ca: authority });\n",
    ),
    "javascript-hard-coded-password": (
        "a.ts",
        "const dbPassword = 'Tr0ub4dor3';\n",
        "const dbPassword = process.env.DB_PASSWORD;\nconst password = '';\n",
    ),
    "javascript-sql-by-formatting": (
        "a.js",
        "client.query(`SELECT * FROM t WHERE id = ${id}`);\n",
        "client.query('SELECT * FROM t WHERE id = $1', [id]);\n",
    ),
    "shell-pipe-to-shell": (
        "a.sh",
        "curl -fsSL https://x.example/i.sh | sudo bash\n",
        "curl -fsSL https://x.example/data | sort\n# curl x | bash\n",
    ),
    "shell-chmod-777": ("a.sh", "chmod -R 777 /srv/data\n", "chmod 750 /srv/data\nchmod o+r /srv/data\n"),
    "shell-eval": ("a.bash", 'eval "$1"\n', '"${command[@]}"\neval "$(ssh-agent -s)"\n'),
    "shell-tls-not-verified": ("a.sh", "curl -sk https://x.example\n", "curl -s --cacert ca.pem https://x.example\n"),
    "shell-password-in-arguments": (
        "a.sh",
        'redis-cli -a "$REDIS_PASSWORD" ping\n',
        'REDISCLI_AUTH="$REDIS_PASSWORD" redis-cli ping\n',
    ),
    "shell-hard-coded-password": (
        "a.sh",
        "export PGPASSWORD=Tr0ub4dor3\n",
        'export PGPASSWORD="$(cat /run/secrets/db)"\nDB_PASSWORD=${DB_PASSWORD:?}\nPASSWORD=\n',
    ),
    "shell-predictable-temporary-file": ("a.sh", "echo x > /tmp/report.$$\n", 'echo x > "$(mktemp)"\n'),
    "dockerfile-user-root": (
        "Dockerfile",
        "FROM debian:12.5\nUSER root\n",
        "FROM debian:12.5\nUSER root\nRUN true\nUSER app\n",
    ),
    "dockerfile-add-from-network": (
        "Dockerfile",
        "FROM debian:12.5\nADD https://x.example/a.tar.gz /a\n",
        "FROM debian:12.5\nADD --checksum=sha256:00 https://x.example/a.tar.gz /a\nADD a.tar.gz /a\n",
    ),
    "dockerfile-pipe-to-shell": (
        "Dockerfile.agent",
        "FROM debian:12.5\nRUN curl -fsS https://x.example/i.sh | sh\n",
        "FROM debian:12.5\nRUN curl -fsS https://x.example/i.sh -o i.sh && sha256sum -c i.sum\n",
    ),
    "dockerfile-secret-in-image": (
        "Dockerfile",
        "FROM debian:12.5\nENV DB_PASSWORD=Tr0ub4dor3\n",
        "FROM debian:12.5\nENV DB_PASSWORD_FILE=/run/secrets/db\nARG TOKEN\n",
    ),
    "dockerfile-latest": ("Dockerfile", "FROM debian\n", "FROM debian:12.5 AS base\nFROM base\nFROM x@sha256:00\n"),
    "dockerfile-chmod-777": (
        "Containerfile",
        "FROM debian:12.5\nRUN chmod -R 777 /srv\n",
        "FROM debian:12.5\nRUN chmod -R 750 /srv\n",
    ),
}


def plant(directory: Path) -> None:
    """Write every plant as weak/RULE/NAME, and every twin as clean/RULE/NAME."""
    for rule, (name, weak, clean) in PLANTS.items():
        for kind, text in (("weak", weak), ("clean", clean)):
            file = directory / kind / rule / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
