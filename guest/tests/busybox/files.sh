# Files: find, tar, gzip, cp, mv, ln, ls, chmod, checksums, stat, du, df, cpio.
cd /tmp; mkdir work; cd work
mkdir -p tree/a/b tree/c; echo one > tree/a/1; echo two > tree/a/b/2; seq 1000 > tree/c/numbers; ln -s ../a/1 tree/c/link; mkfifo tree/fifo
chmod 640 tree/a/1; chmod 1777 tree/c; touch -d '2001-02-03 04:05:06' tree/a/1 tree/a/b/2 tree/c/numbers tree/c tree/a tree/a/b tree
touch -h -d '2001-02-03 04:05:06' tree/c/link; touch -d '2001-02-03 04:05:06' tree/fifo tree/c tree
find tree | sort
find tree -type f -name '[0-9]' | sort
find tree -type d -exec echo dir {} \; | sort
find tree -size +2 -o -type l | sort
find tree -perm 640; find tree -newer tree/a/1 | sort; find tree -maxdepth 1 | sort
ls -l tree tree/a tree/c | grep -v '^total'
ls -1F tree; ls -ld tree/c; ls -R tree | cat
stat -c '%n %s %A %U %G %h %F' tree/a/1 tree/c tree/fifo tree/c/link
tar cf t.tar tree; tar tvf t.tar | sort -k 6; tar czf t.tgz tree; mkdir x; tar xzf t.tgz -C x; diff -r tree x/tree 2>&1 | grep -v fifo; ls -l x/tree/c | awk 'NR > 1 { print $1, $5, $9 }'
gzip -k tree/c/numbers; ls tree/c | cat; gunzip -c tree/c/numbers.gz | md5sum; zcat tree/c/numbers.gz | tail -n 1; gzip -t tree/c/numbers.gz && echo intact
bzip2 -k tree/c/numbers && bunzip2 -c tree/c/numbers.bz2 | cmp - tree/c/numbers && echo bzip2 works
sha256sum tree/c/numbers; sha1sum tree/c/numbers; md5sum tree/c/numbers tree/a/1; cksum tree/c/numbers; sha512sum tree/a/1
sha256sum tree/c/numbers tree/a/1 > sums; sha256sum -c sums
cp -r tree copy; cp -a tree/c/link copy/link2; readlink copy/link2; mv copy/a copy/z; ls copy | cat; rm -r copy; ls | cat
ln tree/a/1 hard; stat -c %h hard; ls -i hard tree/a/1 | awk '{ print $1 }' | uniq | wc -l
dd if=tree/c/numbers of=dd.out bs=100 count=3 skip=1 2>&1 | head -n 2; wc -c < dd.out
truncate -s 1M sparse; stat -c '%s %b' sparse; du -k sparse; echo x | dd of=sparse bs=1 seek=500000 conv=notrunc 2>/dev/null; stat -c '%s %b' sparse
find tree -type f | cpio -o -H newc 2>/dev/null | cpio -t 2>/dev/null | sort
rmdir x; mkdir -m 700 priv; stat -c %a priv; mktemp -d /tmp/mk.XXXXXX | sed 's/\..*/.random/'
realpath tree/c/../a/1; readlink -f tree/c/link; test tree/a/1 -ef hard && echo the same file
touch a b; [ a -nt tree/a/1 ] && echo newer; install -m 600 a installed; stat -c %a installed
chown 1000:1000 a; stat -c '%u %g' a; chgrp 0 a; stat -c '%u %g' a
tail -c 5 tree/c/numbers; head -c 5 tree/c/numbers; tail -n +998 tree/c/numbers
df . | awk 'NR == 2 { print $6 }'
mount -t tmpfs -o size=1M none /tmp/work/priv; mount | grep /tmp/work/priv; dd if=/dev/zero of=priv/full bs=4k count=400 2>&1 | grep -c 'No space'; df -k priv | tail -n 1 | awk '{ print $2, $3, $4, $5 }'; umount priv; ls priv
mkdir bound; mount --bind tree bound; ls bound | cat; umount bound; ls bound
cd /tmp; rm -rf work; ls work
