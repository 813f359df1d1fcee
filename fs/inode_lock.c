/* SPDX-License-Identifier: MIT */
/*
 * inode_lock.c - locking inodes that are in memory: one, or several in the
 * order of their numbers (inode_cache.h). Every lock is taken together with a
 * look at whether the inode is still usable. Any thread.
 *
 * How many inodes an operation holds, and which, is known only when it runs, so
 * clang's analysis of locks cannot follow these. It ends here: callers see
 * functions without annotations, and the five that touch the lock say NO_TSA.
 */
#include "fs/inode_cache.h"
#include "fs/recount.h"

NO_TSA int inode_rdlock(struct inode *inode)
{
	int r;

	rwlock_rdlock(&inode->lock);
	if (inode->uncounted && !inode->error) {
		rwlock_rdunlock(&inode->lock);
		r = inode_wrlock(inode);
		if (r)
			return r;
		rwlock_wrunlock(&inode->lock);
		rwlock_rdlock(&inode->lock);
	}
	r = inode->error;
	if (r)
		rwlock_rdunlock(&inode->lock);
	return r;
}

NO_TSA int inode_wrlock_uncounted(struct inode *inode)
{
	int r;

	rwlock_wrlock(&inode->lock);
	r = inode->error;
	if (r)
		rwlock_wrunlock(&inode->lock);
	return r;
}

NO_TSA int inode_wrlock(struct inode *inode)
{
	int r = inode_wrlock_uncounted(inode);

	if (r == 0 && inode->uncounted)
		recount_now(inode);
	return r;
}

NO_TSA void inode_rdunlock(struct inode *inode)
{
	rwlock_rdunlock(&inode->lock);
}

NO_TSA void inode_wrunlock(struct inode *inode)
{
	rwlock_wrunlock(&inode->lock);
}

int inode_wrlock_all(struct inode **inodes, unsigned count)
{
	unsigned n = 0;

	for (unsigned i = 0; i < count; i++) {
		struct inode *inode = inodes[i];
		unsigned at = n;

		if (!inode)
			continue;
		while (at > 0 && inodes[at - 1]->ino > inode->ino)
			at--;
		if (at > 0 && inodes[at - 1] == inode)
			continue;
		for (unsigned j = n; j > at; j--)
			inodes[j] = inodes[j - 1];
		inodes[at] = inode;
		n++;
	}
	for (unsigned i = 0; i < n; i++) {
		int r = inode_wrlock(inodes[i]);

		if (r) {
			inode_wrunlock_all(inodes, i);
			return r;
		}
	}
	return (int)n;
}

void inode_wrunlock_all(struct inode **inodes, unsigned count)
{
	while (count > 0)
		inode_wrunlock(inodes[--count]);
}
