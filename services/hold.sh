#!/bin/sh
# Runs a command that ends with its starter, however the starter ends (kill -9 included).
#
#   hold.sh GRACE_SECONDS COMMAND [ARGUMENT …]
#
# stdin is a pipe that the starter holds and never writes to: the kernel closes it with the starter, and the command gets
# SIGTERM, and SIGKILL when the grace is over. The command's process id is the one line on fd 3.
PATH=$PATH:/usr/bin:/bin
grace=$1
shift
exec 4<&0
"$@" </dev/null 3>&- 4<&- &
child=$!
(
  exec 3>&-
  while read -r _ <&4; do :; done
  kill -TERM "$child" && kill -CONT "$child"
  while [ "$grace" -gt 0 ] && kill -0 "$child"; do
    sleep 1
    grace=$((grace - 1))
  done
  kill -KILL "$child"
) >/dev/null 2>&1 &
watcher=$!
echo "$child" >&3
exec 3>&- 4<&-
wait "$child"
status=$?
kill "$watcher" 2>/dev/null
exit "$status"
