#!/usr/bin/env python3
"""The queries of the dashboard, for check.sh: as rules to be parsed, or run against a Prometheus.

    queries.py rules               one recording rule for each query, as JSON, which is YAML
    queries.py run URL FOLDER      runs each one, and each selector of the loaded alerts; fails
                                   if one returns nothing. Answers are written to FOLDER.
"""

import json
import pathlib
import re
import sys
import urllib.parse
import urllib.request

DASHBOARD = pathlib.Path(__file__).parent.parent / "grafana" / "ropewalk.json"

# What Grafana would fill in.
VARIABLES = {"$__rate_interval": "30s", "$instance": ".*", "$pool": ".*"}

# Selectors that are right and match nothing when all is well: none, since check.sh makes all of it
# happen. What cannot be made to happen is listed here with the reason.
MAY_BE_EMPTY = {}


def queries():
    """Title and text of each query of the dashboard, then those of its variables."""
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], filled_in(target["expr"])
    for variable in dashboard["templating"]["list"]:
        if found := re.fullmatch(r"label_values\((.*), (\w+)\)", variable.get("definition", "")):
            yield variable["name"], f"count by ({found[2]}) ({filled_in(found[1])})"


def filled_in(text):
    for name, value in VARIABLES.items():
        text = text.replace(name, value)
    if "$" in text:
        sys.exit(f"a variable that is not known: {text}")
    return text


def ask(url, path, **parameters):
    query = urllib.parse.urlencode(parameters)
    with urllib.request.urlopen(f"{url}/api/v1/{path}?{query}", timeout=10) as response:
        return json.load(response)["data"]


def run(url, folder):
    empty, count = [], 0
    wanted = list(queries())
    groups = ask(url, "rules")["groups"]
    alerts = [(rule["name"], rule["query"]) for group in groups for rule in group["rules"]]
    if not alerts:
        sys.exit("no alerts are loaded")
    # When all is well an alert's expression is empty; what it selects is not.
    for name, text in alerts:
        for selector in re.findall(r"\b(?:ropewalk_\w+|up)\b(?:\{[^}]*\})?", text):
            wanted.append((f"alert {name}", selector))
    for number, (title, text) in enumerate(wanted):
        result = ask(url, "query", query=text)["result"]
        (folder / f"{number:02}.json").write_text(json.dumps([title, text, result], indent=1))
        count += 1
        # No number is as good as nothing: 0 / 0, or a quantile of no buckets.
        numbers = [series for series in result if series["value"][1] != "NaN"]
        if not numbers and text not in MAY_BE_EMPTY:
            empty.append(f"{title}: {text}")
    for line in empty:
        print(f"returned nothing: {line}", file=sys.stderr)
    print(f"{count} queries, {len(empty)} of them returned nothing")
    return 1 if empty else 0


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["rules"]:
            rules = [{"record": "query", "expr": text} for _, text in queries()]
            for number, rule in enumerate(rules):
                rule["labels"] = {"number": str(number)}
            json.dump({"groups": [{"name": "dashboard", "rules": rules}]}, sys.stdout)
        case ["run", url, folder]:
            sys.exit(run(url, pathlib.Path(folder)))
        case _:
            sys.exit(__doc__)
