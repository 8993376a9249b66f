#!/bin/sh
# Removes a folder once the process that holds stdin has ended, and those that still write to the folder with it.
#
#   remove-folder.sh SECONDS FOLDER
PATH=$PATH:/usr/bin:/bin
seconds=$1
while read -r _; do :; done
while ! rm -rf "$2" 2>/dev/null && [ "$seconds" -gt 0 ]; do
  sleep 1
  seconds=$((seconds - 1))
done
