#!/bin/sh
# Plan a campaign by filter, look at its plan, and approve exactly that, over HTTP.
# Needs nothing but a POSIX shell and curl 7.55 or newer. docs/campaigns.md explains the steps.
#
#   campaign.sh plan JOB_ID PORTAL FILTER   FILTER: JSON such as '{"tags": ["trash"], "without_tags": ["vip"]}'
#   campaign.sh approve JOB_ID DIGEST       DIGEST: what `plan` has printed
#
#   CRM_SWEEP_URL   where the API is; http://127.0.0.1:8080 if not set
#   CRM_SWEEP_KEY   an API key: `plan` needs the scopes submit and read, `approve` needs control
#
# `plan` waits until the plan stands, tells on standard error what would become of the contacts, and prints the digest.
# Exit codes: 0 done, 1 there is no plan to approve, 2 the request was refused, 5 the API cannot be reached.
set -eu

url=${CRM_SWEEP_URL:-http://127.0.0.1:8080}
umask 077
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM
# In a file, because every user of a machine can read the arguments of its processes.
: > "$tmp/auth"
[ -z "${CRM_SWEEP_KEY:-}" ] || printf 'Authorization: Bearer %s\n' "$CRM_SWEEP_KEY" > "$tmp/auth"

say() { printf '%s\n' "$*" >&2; }

# text NAME, number NAME: the first such member of the last answer.
text() { grep -o "\"$1\": *\"[^\"]*\"" "$tmp/body" | sed -n '1s/.*: *"\(.*\)"/\1/p'; }
number() { grep -o "\"$1\": *[0-9]*" "$tmp/body" | sed -n '1s/.*: *//p'; }

# request ADDRESS [CURL-ARGUMENTS]: the answer is in $tmp/body.
request() {
    address=$1
    shift
    status=$(curl --silent --show-error --header "@$tmp/auth" --output "$tmp/body" --write-out '%{http_code}' \
        "$@" "$url$address") || exit 5
    case $status in
        2??) ;;
        *) say "campaign: HTTP $status: $(text detail)"; exit 2 ;;
    esac
}

case "${1:-} $#" in
    "plan 4")
        # The same request again gives the same job, so this can simply be repeated.
        request /v1/jobs --header 'Content-Type: application/json' \
            --data "{\"id\": \"$2\", \"portal\": \"$3\", \"filter\": $4}"
        while [ "$(text state)" = planning ]; do
            sleep "${POLL_S:-2}"
            request "/v1/jobs/$2"
        done
        if [ "$(text state)" != awaiting_approval ]; then
            say "$2 is $(text state), with $(number total) contacts: $(text last_error)"
            exit 1
        fi
        request "/v1/jobs/$2"
        say "$2: $(number deletable) of $(number total) contacts would be deleted," \
            "$(number read_only) are read-only, $(number has_invoice) on an invoice"
        text digest
        ;;
    "approve 3")
        request "/v1/jobs/$2/approve" --header 'Content-Type: application/json' --data "{\"digest\": \"$3\"}"
        say "$2 is $(text state)"
        ;;
    *)
        sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
esac
