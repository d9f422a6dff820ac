#!/usr/bin/env bash
# The checks of `run health-check` as an administrator's script makes them, with the usual command-line programs.
# Usage: health_check.sh BASE_DIR URL...   (the URLs are endpoints that must answer 200)
set -u
base=$1
shift
stamp=$(date +%Y%m%d_%H%M%S)
checks='' failed=0 warnings=0 passed=0

note() { # name status message
    checks+="${checks:+,}{\"name\":\"$1\",\"status\":\"$2\",\"message\":\"$3\",\"timestamp\":\"$(date -Iseconds)\"}"
    case $2 in PASS) passed=$((passed + 1)) ;; WARN) warnings=$((warnings + 1)) ;; FAIL) failed=$((failed + 1)) ;; esac
}
grade() { # name percent
    if [ "$2" -lt 80 ]; then note "$1" PASS "$2%"; elif [ "$2" -lt 90 ]; then note "$1" WARN "$2%"; else note "$1" FAIL "$2%"; fi
}

if [ -S /var/run/docker.sock ]; then
    if docker info >/dev/null 2>&1; then note docker PASS running; else note docker FAIL 'not running'; fi
    note containers PASS "$(docker ps --format '{{.Names}}' | wc -l) running"
fi
if [ -d /var/run/postgresql ] && command -v pg_isready >/dev/null; then
    if pg_isready -q; then note postgres PASS ready; else note postgres FAIL 'not ready'; fi
fi
if command -v redis-cli >/dev/null; then
    if [ "$(redis-cli -t 5 ping 2>/dev/null)" = PONG ]; then note redis PASS PONG; else note redis FAIL 'no PONG'; fi
fi
if curl -fs -m 10 -o /dev/null http://127.0.0.1:11434/api/tags; then note ollama PASS up; else note ollama WARN down; fi
for url; do
    code=$(curl -s -m 10 -o /dev/null -w '%{http_code}' "$url")
    if [ "$code" = 200 ]; then note "$url" PASS 200; else note "$url" FAIL "$code"; fi
done
grade cpu "$(top -bn1 | awk '/^%?Cpu/ { for (i = 1; i < NF; i++) if ($(i + 1) ~ /^id/) { printf "%d", 100 - $i; exit } }')"
grade memory "$(free | awk '/^Mem/ { printf "%d", $3 * 100 / $2 }')"
while read -r mount percent; do
    grade "disk:$mount" "${percent%\%}"
done < <(df -l -x tmpfs -x devtmpfs -x overlay --output=target,pcent | tail -n +2)
load=$(cut -d' ' -f1 /proc/loadavg)
if awk -v l="$load" -v c="$(nproc)" 'BEGIN { exit !(l < c * 1.5) }'; then note load PASS "$load"; else note load WARN "$load"; fi
large=$(find "$base/logs" -name '*.log' -size +100M 2>/dev/null | wc -l)
if [ "$large" -eq 0 ]; then note logs PASS none; else note logs WARN "$large large"; fi
if [ -f "$base/ssl/cert.pem" ]; then
    end=$(date -d "$(openssl x509 -enddate -noout -in "$base/ssl/cert.pem" | cut -d= -f2)" +%s)
    note certificate PASS "$(((end - $(date +%s)) / 86400)) days"
fi

status=HEALTHY
if [ $failed -ge 5 ]; then status=CRITICAL; elif [ $failed -gt 0 ]; then status=DEGRADED; elif [ $warnings -gt 0 ]; then status=WARNING; fi
report=$base/reports/daily_health_report_$stamp.json
mkdir -p "$base/reports"
cat >"$report" <<JSON
{"timestamp":"$(date -Iseconds)","hostname":"$(hostname)","system_info":{"uptime":"$(uptime -p)","load_average":"$load"},
 "checks":[$checks],"summary":{"passed":$passed,"failed":$failed,"warnings":$warnings,"status":"$status"}}
JSON
ln -sfn "$(basename "$report")" "$base/reports/latest_health_report.json"
echo "$status: $passed passed, $failed failed, $warnings warnings"
