# The shell itself: pipelines, here-documents, loops, functions, substitution, background jobs, traps.
cd /tmp
echo hello | tr a-z A-Z
for i in 1 2 3; do echo line $i; done | while read a b; do echo "$b:$a"; done
cat <<END
a here-document with $((6 * 7)) and $(echo a command)
END
cat <<'END' | wc -l
one $two
three
END
f() { local x=$1; echo "f got $x of $#"; return 3; }
f 'a b' c; echo "status $?"
x=abcdef; echo ${x#abc} ${x%def} ${#x} ${x:-no} ${y:-default} ${x/cd/XY}
set -- one two three; shift; echo $# "$*"
case foo.txt in *.txt) echo text;; *) echo other;; esac
if [ 3 -gt 2 ] && [ -d /tmp ]; then echo yes; else echo no; fi
n=0; while [ $n -lt 5 ]; do n=$((n + 1)); [ $n = 2 ] && continue; [ $n = 4 ] && break; echo n=$n; done
(exit 7); echo "subshell $?"
false || echo 'false failed'
! true; echo "not true $?"
echo one > file; echo two >> file; cat < file
{ echo out; echo err >&2; } 2>&1 | sort
exec 3> third; echo to three >&3; exec 3>&-; cat third
sleep 0.2 & sleep 0.1 & wait; echo waited $?
(sleep 0.05; exit 5) & wait $!; echo "background $?"
sh -c 'kill -TERM $$'; echo "killed $?"
sh -c 'kill -9 $$'; echo "killed $?"
trap 'echo trapped' USR1; kill -USR1 $$; trap - USR1
trap 'echo leaving' EXIT
(trap 'echo in subshell' EXIT; true)
echo "pipe status: $(true | false; echo $?)"
yes | head -n 3
seq 5 -1 1 | xargs echo
printf '%05d|%-6s|%x\n' 42 ab 255
echo a:b:c | { IFS=: read p q r; echo "$r$q$p"; }
eval 'echo eval $((1 << 10))'
test -e nothing; echo $?
command -v sh; type cd
umask; umask 077; umask; umask 022
cat nothing; echo "cat $?"
nosuchcommand; echo "no such command $?"
mkdir -p d/e; cd d/e; pwd; cd ../..; pwd
echo *; echo f*; echo '*'
echo $(( 0x10 + 010 )) $(( 7 / 2 )) $(( -7 % 3 ))
read -r line <<END
from a here-document
END
echo "$line"
( sleep 10 & echo $! > pid; wait ) & sleep 0.1; kill $(cat pid); wait; echo done
mkfifo pipe; (echo through the fifo > pipe) & cat pipe; wait
seq 1 20000 | tail -n 1
dd if=/dev/zero bs=64k count=20 2>/dev/null | wc -c
head -c 100000 /dev/zero | tr '\0' x | md5sum
