/* SPDX-License-Identifier: MIT */
/*
 * value.c - from a handle to its value, wherever in a superversion the handle
 * was found. A file that a bulk write made is in no version until its memtable
 * is in tables; until then the memtable knows it. The caller holds the
 * superversion. Any thread.
 */
#include "lsm/db/db_impl.h"

static struct db_direct *find_direct(const struct superversion *sv,
				     uint64_t number)
{
	struct db_direct *d = NULL;

	for (unsigned i = 0; i < sv->mem_count && !d; i++)
		d = db_direct_find(sv->mems[i], number);
	return d;
}

int sv_blob_block(struct superversion *sv, const struct blob_handle *h,
		  bool fill, struct blob_view *view, struct lsm_slice *value)
{
	struct version_set *vs = sv->version->vs;
	struct db_direct *d = NULL;
	int err;

	if (!(view->entry && view->file == h->file &&
	      view->offset == h->offset) &&
	    !version_find_blob(sv->version, h->file))
		d = find_direct(sv, h->file);
	if (!d)
		return version_blob_block(sv->version, h, fill, view, value);
	blob_view_release(vs, view);
	err = blob_reader_block(d->blob->reader, h, fill, &view->entry);
	if (err)
		return err;
	view->file = h->file;
	view->offset = h->offset;
	/* blob_reader_block() looked that it fits */
	return blob_value(h, view->entry, value);
}

int sv_blob_value(struct superversion *sv, struct lsm_slice handle, bool fill,
		  struct blob_view *view, struct lsm_slice *value)
{
	struct blob_handle h;

	if (!blob_handle_decode(&h, handle)) /* which is reported there */
		return version_blob_value(sv->version, handle, fill, view,
					  value);
	return sv_blob_block(sv, &h, fill, view, value);
}
