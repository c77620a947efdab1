# Processes: ps, top, free, kill, job control, nice, /proc.
cd /tmp
sleep 100 & p=$!
ps | awk -v p=$p '$1 == p { print "ps:", $2, $4, $5 }'
ps -o pid,ppid,comm,stat | awk -v p=$p -v s=$$ '$1 == p { print "ps -o:", $2 == s, $3, $4 }'
cat /proc/$p/cmdline | tr '\0' ' '; echo
readlink /proc/$p/exe; cat /proc/$p/comm
kill -STOP $p; sleep 0.1; awk '{ print $3 }' /proc/$p/stat
kill -CONT $p; sleep 0.1; awk '{ print $3 }' /proc/$p/stat
kill $p; wait $p; echo "sleep ended with $?"
kill -0 $p 2>/dev/null; echo "still there: $?"
top -bn1 | sed -n '4p;s/^Mem:.*used.*free.*shrd.*buff.*cached/memory line/p;s/^CPU:.*usr.*sys.*nic.*idle.*/cpu line/p' | sed 's/,.*//' | sort -u | tail -n 4
free | awk 'NR == 1 { print $1, $2, $3 } /^Mem/ { print ($2 > $3), NF }'
nice -n 5 sh -c 'awk "{ print \$19 }" /proc/self/stat'
time -f 'exit %x' true 2>&1 | tail -n 1
timeout 0.2 sleep 10; echo "timeout $?"
sh -c 'sleep 0.1; echo grandchild' & wait; echo waited
uname -s -m; hostname x 2>/dev/null; nproc > /dev/null && echo nproc
id -u; id -g; whoami 2>/dev/null | head -n 1
env -i A=1 B=2 env | sort
pidof sleep || echo none
sh -c 'echo $PPID' | grep -c '^[0-9]*$'
(sleep 50 & echo $! > bg; exit 0); kill $(cat bg) && echo killed an orphan
setsid sh -c 'ps -o pid,sid 2>/dev/null | head -n 0; echo in a session of its own'
nohup sh -c 'echo nohup' 2>/dev/null | cat
renice 3 $$ > /dev/null 2>&1; awk '{ print $19 }' /proc/$$/stat
ulimit -n; ulimit -n 50; ulimit -n
sh -c 'ulimit -f 1; dd if=/dev/zero of=/tmp/big bs=1k count=10' 2>/dev/null; echo "file size limit $?"; ls -l /tmp/big | awk '{ print $5 }'
sh -c 'trap "" PIPE; seq 100000 2>/dev/null | head -n 1'
i=0; while [ $i -lt 50 ]; do (exit $i) & i=$((i + 1)); done; wait; echo fifty children
cat /proc/self/status | grep -E '^(Name|State|Threads|Uid|Gid|SigIgn)'
awk '$6 ~ /busybox|heap|stack|vdso/ { print $2, $3, $6 }' /proc/self/maps
ls -l /proc/self/fd < /dev/null 2>/dev/null | awk '$9 == 0 { print "stdin:", $11 }'
cat /proc/sys/kernel/ostype /proc/sys/kernel/pid_max; grep -c processor /proc/cpuinfo | awk '{ print ($1 > 0) }'
awk '{ print NF }' /proc/loadavg /proc/uptime; grep -E '^(MemTotal|MemFree|PageTables)' /proc/meminfo | awk '{ print $1, $3 }'
