#!/bin/sh
# Submit a list of contact IDs to crm-sweep, follow the job to its end, and fetch what was not deleted.
# Needs nothing but a POSIX shell and curl 7.55 or newer. docs/examples/http.md explains it step by step.
#
#   delete_contacts.sh FILE PORTAL JOB_ID OUT.csv
#
#   FILE     one contact ID a line, or .csv or .ndjson
#   PORTAL   the portal's name in the configuration of crm-sweep
#   JOB_ID   your name for this piece of work, such as a ticket number: the same call again gives the same job
#   OUT.csv  the contacts that were not deleted, with the reason
#
#   CRM_SWEEP_URL   where the API is; http://127.0.0.1:8080 if not set
#   CRM_SWEEP_KEY   the API key, if the API asks for one
#   FOLLOW=1        follow the job by its events instead of asking every POLL_S seconds (2)
#
# Exit codes: 0 every contact was decided and none failed, 1 the job was cancelled or failed, 2 the request is wrong,
# 3 some contacts failed, 4 no such job or portal, 5 the API cannot be reached or is too busy.
set -eu

[ $# -eq 4 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
file=$1 portal=$2 job_id=$3 out=$4
url=${CRM_SWEEP_URL:-http://127.0.0.1:8080}
tries=${TRIES:-8}

umask 077
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM
# In a file, because every user of a machine can read the arguments of its processes.
: > "$tmp/auth"
[ -z "${CRM_SWEEP_KEY:-}" ] || printf 'Authorization: Bearer %s\n' "$CRM_SWEEP_KEY" > "$tmp/auth"

say() { printf '%s\n' "$*" >&2; }
die() { code=$1; shift; say "delete_contacts: $*"; exit "$code"; }

# text NAME, number NAME: a member of the JSON document on standard input.
text() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"; }
number() { sed -n "s/.*\"$1\": *\([0-9.]*\).*/\1/p"; }

# request CURL-ARGUMENTS: sets $status; the answer is in $tmp/body. Waits and tries again while the API is away or
# busy. That is safe for every request here: none does harm by arriving twice.
request() {
    try=1
    while :; do
        status=$(curl --silent --show-error --connect-timeout 5 --header "@$tmp/auth" --output "$tmp/body" \
            --dump-header "$tmp/head" --write-out '%{http_code}' "$@" 2> "$tmp/error") || status=000
        case $status in
            000 | 408 | 429 | 502 | 503 | 504) ;;
            *) return 0 ;;
        esac
        [ "$try" -lt "$tries" ] || die 5 "gave up after $tries tries: $(explain)"
        wait_s=$(sed -n 's/^[Rr]etry-[Aa]fter: *\([0-9]*\).*/\1/p' "$tmp/head" 2> /dev/null || :)
        sleep "${wait_s:-$try}"
        try=$((try + 1))
    done
}

# What went wrong with the last request, for a person.
explain() {
    if [ "$status" = 000 ]; then cat "$tmp/error"; else printf 'HTTP %s: %s\n' "$status" "$(text detail < "$tmp/body")"; fi
}

# Stop unless the last request went well.
check() {
    case $status in
        2??) ;;
        404) die 4 "$(explain)" ;;
        4??) die 2 "$(explain)" ;;
        *) die 5 "$(explain)" ;;
    esac
}

# Show a person the progress of the job in a file.
show() {
    why=$(text state_reason < "$1")
    say "$job_id: $(text state < "$1")${why:+ ($why)}, $(number pending < "$1") of $(number total < "$1") to do"
}

[ -r "$file" ] || die 2 "cannot read $file"

# 1. Submit the list. --upload-file sends it piece by piece, however large it is.
case $file in
    *.csv) type=text/csv ;;
    *.ndjson) type=application/x-ndjson ;;
    *) type=text/plain ;;
esac
request --request POST --upload-file "$file" --header "Content-Type: $type" --header "Idempotency-Key: $job_id" \
    "$url/v1/jobs?portal=$portal"
if [ "$status" = 409 ]; then
    die 2 "$job_id already belongs to another list; choose another JOB_ID: $(explain)"
fi
check
[ "$status" != 200 ] || say "$job_id was submitted before; following it"

# 2. Follow it to its end. A job that is paused, or waits for an approval, needs a person; the script waits.
last=
while :; do
    request "$url/v1/jobs/$job_id"
    check
    state=$(text state < "$tmp/body")
    case $state in completed | cancelled | failed) break ;; esac
    if [ "${FOLLOW:-0}" = 1 ]; then
        # Events come as they happen. Whatever ends the stream early, the loop looks at the job again.
        curl --silent --no-buffer --header "@$tmp/auth" --header "Last-Event-ID: $last" "$url/v1/jobs/$job_id/events" |
            while IFS= read -r line; do
                case $line in
                    'id: '*) printf '%s' "${line#id: }" > "$tmp/last" ;;
                    'data: '*) printf '%s\n' "${line#data: }" > "$tmp/event" && show "$tmp/event" ;;
                esac
            done
        [ ! -f "$tmp/last" ] || last=$(cat "$tmp/last")
    else
        show "$tmp/body"
    fi
    sleep "${POLL_S:-2}"
done
show "$tmp/body"
failed=$(number failed < "$tmp/body")
[ "$state" != failed ] || die 1 "the job failed: $(text last_error < "$tmp/body")"

# 3. Fetch what was not deleted. A download that breaks off is an error of curl, never a shorter file.
printf 'contact_id,outcome,reason,http_status,attempts,at\n' > "$out.part"
for outcome in refused failed protected skipped; do
    request --compressed "$url/v1/jobs/$job_id/results?format=csv&outcome=$outcome"
    check
    sed 1d "$tmp/body" >> "$out.part"
done
mv "$out.part" "$out"
say "$(($(wc -l < "$out") - 1)) contacts were not deleted: $out"

[ "$state" = completed ] || exit 1
[ "$failed" -eq 0 ] || exit 3
