/* SPDX-License-Identifier: MIT */
/* sst_meta.c - the life of struct sst_meta. Plain values; any thread. */
#include "lsm/table/sst.h"

#include <string.h>

void sst_meta_release(struct sst_meta *m)
{
	buf_release(&m->smallest);
	buf_release(&m->largest);
	memset(m, 0, sizeof(*m));
}

int sst_meta_copy(struct sst_meta *to, const struct sst_meta *from)
{
	int err;

	*to = *from;
	memset(&to->smallest, 0, sizeof(to->smallest));
	memset(&to->largest, 0, sizeof(to->largest));
	err = buf_append(&to->smallest, from->smallest.data,
			 from->smallest.len);
	if (!err)
		err = buf_append(&to->largest, from->largest.data,
				 from->largest.len);
	if (err)
		sst_meta_release(to);
	return err;
}
