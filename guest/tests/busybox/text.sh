# Text tools: sort, awk, sed, grep, cut, uniq, tr, diff and others.
cd /tmp
cat > data <<END
carol 31 red
alice 25 blue
dave 40 green
bob 31 blue
eve 25 red
END
sort data
sort -k2n -k1r data
sort -k3,3 -k2,2nr data | head -n 3
cut -d' ' -f1,3 data
awk '{ sum += $2; n[$3]++ } END { print sum; for (c in n) print c, n[c] | "sort"; }' data
awk 'BEGIN { printf "%.3f %d %s\n", 3.14159, 42, substr("hello", 2, 3); print toupper("x"), length("four"), index("abc", "c") }'
awk -F' ' '$2 > 30 { print NR": "$1 }' data
awk '{ gsub(/[aeiou]/, "*"); print }' data
sed -n '2,3p' data
sed -e 's/red/RED/' -e '/blue/d' data
sed 's/\([a-z]*\) \([0-9]*\)/\2 \1/' data
grep -n blue data; grep -c e data; grep -v e data; grep -E '^(a|b)' data; grep -o '[0-9]*' data | sort | uniq -c
tr -d aeiou < data
uniq -d <<END
a
a
b
END
cp data data2; sed -i 's/bob/bobby/' data2; diff data data2; cmp data data2
diff -u data data2 | tail -n +3
wc data; nl data; rev data; tac data
paste -d, data data2 | head -n 2
join data data2 | head -n 1
comm -12 data data2 2>/dev/null | head -n 1
fold -w 10 data | head -n 4
expand -t 4 <<END
a	b
END
od -c data | head -n 3; hexdump -C data | head -n 2; xxd data | head -n 2
base64 data; base64 data | base64 -d | cmp - data && echo same
strings /bin/busybox | grep -c BusyBox
expr 3 + 4; expr abc : 'a\(.*\)'; factor 5040; dc -e '2 3 ^ p'
echo 'scale=5; 22/7' | bc
printf 'b\na\nc\n' | sort -r | tr '\n' ' '; echo
seq -s, 1 10; shuf -i 1-1; basename /a/b.c .c; dirname /a/b.c
echo 'a b c' | xargs -n 1 echo item
split -l 2 data part-; ls part-*; cat part-*  | cmp - data && echo joined
date -u -d @1000000000 '+%Y-%m-%d %H:%M:%S'
cal 2 2024
