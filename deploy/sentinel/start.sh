#!/bin/sh
# Starts one server of the profile `sentinel` in docker-compose.yml:
#   start.sh server    HOST PORT PRIMARY_HOST PRIMARY_PORT     the primary itself, or a replica of it
#   start.sh sentinel  HOST PORT PRIMARY_HOST PRIMARY_PORT
# HOST is the name by which the others reach this server. PRIMARY is the primary of the very first start: from then on,
# servers and Sentinels keep their roles in their configuration, which lies beside the data. Only the password is read
# again at each start; it never appears among a process's arguments.
set -eu
umask 077
role=$1 host=$2 port=$3 primary=$4 primary_port=$5
cd "${DATA:-/data}"
password=$(cat "${PASSWORD_FILE:-/run/secrets/redis-password}")
[ -n "$password" ] || { echo "the file with the password is empty" >&2; exit 1; }

# The ledger is the only record of what was deleted: changes are on disk before they are answered, never evicted; and a
# primary that was cut off from its replicas accepts nothing. A replica that comes back is brought up to date at once,
# since jobs may wait for it.
first_server() {
  cat <<END
port $port
replica-announce-ip $host
replica-announce-port $port
appendonly yes
appendfsync always
save ""
maxmemory-policy noeviction
min-replicas-to-write 1
min-replicas-max-lag 5
repl-diskless-sync-delay 0
END
  [ "$host:$port" = "$primary:$primary_port" ] || echo "replicaof $primary $primary_port"
}

# Names instead of addresses, because a container can come back with another address.
first_sentinel() {
  cat <<END
port $port
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip $host
sentinel announce-port $port
sentinel monitor crm-sweep $primary $primary_port 2
sentinel down-after-milliseconds crm-sweep 3000
sentinel failover-timeout crm-sweep 10000
sentinel parallel-syncs crm-sweep 1
END
}

# What a server has noted about the password is left out, so that a new one counts. The file takes the place of the old
# one only when it is complete.
{
  if [ -s "$role.conf" ]; then
    grep -Ev '^(requirepass|masterauth|primaryauth|user default|sentinel auth-pass) ' "$role.conf"
  else
    "first_$role"
  fi
  echo "requirepass \"$password\""
  if [ "$role" = server ]; then echo "masterauth \"$password\""; else echo "sentinel auth-pass crm-sweep \"$password\""; fi
} > new.conf
mv new.conf "$role.conf"

set -- valkey-server "$PWD/$role.conf"
[ "$role" = server ] || set -- "$@" --sentinel
# The image's own script gives the files to the user `valkey` and goes on as that user.
if command -v docker-entrypoint.sh > /dev/null; then set -- docker-entrypoint.sh "$@"; fi
exec "$@"
