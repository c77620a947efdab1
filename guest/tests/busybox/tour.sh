# What busybox does on Linux, a little of everything (tour.expected: what it printed on riscv64 Linux 6.12).
# Nothing in it depends on time, process ids or the machine.
export PATH=/bin LC_ALL=C
cd /tmp
section() { echo "== $*"; }

section pipelines
seq 1 1000 | awk '{ s += $1 } END { print s }'
printf 'pear\napple\nfig\napple\n' | sort | uniq -c | sort -rn | sed 's/^ *//'
yes | head -n 3 | tr y n | paste -s -d, -
echo one two three | { read a b; echo "$b|$a"; }
seq 1 100000 | tail -n 1
false | true; echo $?
set -o pipefail; false | true; echo $?; set +o pipefail

section here-documents
name=world
cat <<EOF
hello $name $((6 * 7)) $(echo nested)
EOF
cat <<'EOF'
not $expanded
EOF
cat <<-EOF | wc -l
	a
	b
EOF

section background jobs
(sleep 0.1; echo late) & (echo early) ; wait; echo "waited $?"
sleep 100 & kill $!; wait $!; echo "killed $?"
(exit 7) & wait $!; echo "exit $?"
for i in 1 2 3 4 5; do (sleep 0.0$i; echo $i) & done | sort; wait
(kill -STOP $(sh -c 'echo $PPID') ; echo continued) & pid=$!
while ! grep -q '^State:.T' /proc/$pid/status; do sleep 0.01; done
kill -CONT $pid; wait $pid

section traps
sh -c 'trap "echo trapped; exit 3" TERM; kill -TERM $$; echo never'; echo $?
sh -c 'trap "echo bye" EXIT; exit 4'; echo $?
sh -c 'kill -9 $$'; echo $?
sh -c 'trap "" INT; kill -INT $$; echo survived'
sh -c 'ulimit -n 20; ulimit -n; ulimit -c 0; ulimit -c'

section files
mkdir -p d/e/f && touch d/a d/e/b d/e/f/c && ln -s ../a d/e/link && ln d/a d/hard
find d | sort
find d -type f -name '[ab]' | sort
ls -l d | awk 'NR > 1 { print $1, $2, $NF }'
stat -c '%A %h %s %F' d/a d/e/link d
chmod 4751 d/a; stat -c %a d/a; chmod u-s,o= d/a; stat -c %A d/a
cp -r d copy && rm -r d/e && find d copy | sort
mv copy moved && rmdir moved/e/f 2>&1; rm -rf moved; ls
echo abc > file; echo def >> file; cat file; wc file; : > file; wc -c < file
dd if=/dev/zero of=sparse bs=1 seek=1048575 count=1 2>/dev/null; stat -c '%s' sparse; du -k sparse | cut -f1
test -e nothing || echo none; test -d d && echo directory; test -L d/nolink || echo "no link"
readlink -f d/../d/hard; basename /a/b.c .c; dirname /a/b.c
mkfifo fifo; (echo through > fifo) & cat fifo; rm fifo
umask 027; touch masked; stat -c %a masked; umask 022

section archives
mkdir tree; seq 1 5000 > tree/numbers; echo small > tree/small; ln -s small tree/link
tar -cf t.tar tree; tar -tf t.tar | sort; gzip t.tar; ls t.tar.gz; gzip -t t.tar.gz && echo good
rm -r tree; tar -xzf t.tar.gz; sha256sum tree/numbers; md5sum tree/small; cat tree/link
gunzip -c t.tar.gz | tar -xOf - tree/small
bzip2 -c tree/numbers | bunzip2 -c | cmp - tree/numbers && echo same
seq 1 200 | xz -c 2>/dev/null | unxz -c 2>/dev/null | tail -n 1
echo tree/small | cpio -o -H newc 2>/dev/null | cpio -t 2>/dev/null

section text
printf 'a:1\nb:2\nc:3\n' > t
cut -d: -f2 t; sed -n '2,$s/:/=/p' t; grep -c ':' t; awk -F: '{ x[$1] = $2 } END { print x["b"] + x["c"] }' t
tr a-c A-C < t; rev t; head -c 3 t; echo; tail -n +3 t; nl t; tac t; expr 3 \* 4; od -An -tx1 t | head -n 1
printf '%5.2f|%-5s|%05d|%x\n' 3.14159 ab 42 255
echo 'x=1;y=2' | awk -F'[=;]' '{ print $2 + $4, length($0), toupper($1), substr($0, 3, 3) }'
awk 'BEGIN { for (i = 1; i <= 5; i++) f = f i * i " "; print f; printf "%.10g %d\n", atan2(0, -1), 2 ^ 31; print index("hello", "l"), match("foobar", "o+"), RLENGTH }'
echo 'scale=20; 1/7; 2^100; sqrt(2)' | bc; dc -e '16 o 255 p'
diff -u t - <<EOF
a:1
B:2
c:3
EOF
echo $?

section shell
f() { local x=inner; echo "$x $1 $#"; return 5; }; x=outer; f a b; echo "$? $x"
case abc in a*) echo star;; esac; i=0; while [ $i -lt 3 ]; do i=$((i + 1)); [ $i = 2 ] && continue; echo $i; done
echo ${x#o} ${x%r} ${#x} ${y:-default} ${x:1:2} "$(printf 'a\nb')" $((0x10 | 3)) $((1 ? 2 : 3))
set -- a 'b c' d; for i; do echo "[$i]"; done; shift; echo "$# $*"; IFS=,; echo "$*"; unset IFS
echo a b c | while read -r one rest; do echo "$rest"; done; eval 'echo $((1 + 1))'; (cd /; pwd); pwd
exec 3> out; echo to three >&3; exec 3>&-; cat out; { echo err >&2; echo out; } 2>&1 | sort; echo "$(echo sub; exit 3)"; echo $?
nosuchcommand 2>/dev/null; echo $?; /tmp 2>/dev/null; echo $?; (exit 300); echo $?; ! true; echo $?
getopts ab: opt -b value; echo "$opt $OPTARG"; type cd; printf '%s\n' *.sh 2>/dev/null; echo "$-" | tr -d s | wc -c

section processes
sh -c 'echo $PPID' | grep -c .; ps | awk '$NF == "ps" { print "ps sees itself" }'
env -i A=b env; time -p true 2>&1 | wc -l; timeout 0.1 sleep 10; echo $?
sh -c 'exec -a renamed sleep 0' ; xargs -n 2 echo < t; seq 1 6 | xargs -n 4; echo a b | xargs -n 1 -P 2 echo | sort
tty < /dev/null; id -u; whoami 2>/dev/null || echo "no name"; uname -m; uname -s
cat /proc/self/comm; tr '\0' ' ' < /proc/self/cmdline; echo; readlink /proc/self/fd/0 < /dev/null; ls /proc/self/fd < /dev/null | wc -l
awk '{ print $3 }' /proc/self/stat; grep -c . /proc/self/maps > /dev/null && echo maps; wc -w < /proc/self/statm
awk '/^(Name|State|Threads|Tgid):/ { print $1 }' /proc/self/status; cat /proc/sys/kernel/ostype; awk '{ print NF }' /proc/loadavg
mount | awk '$3 == "/proc" { print $1, $5 }'; free | awk 'NR == 1 { print $1, $2, $3 }'; top -bn1 | awk 'NR == 1 { print $1 } NR == 4 { print $1, $2, $3 }'
