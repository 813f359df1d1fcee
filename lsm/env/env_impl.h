/* SPDX-License-Identifier: MIT */
/*
 * env_impl.h - what the handles of every implementation begin with.
 *
 * env.c finds the functions of a handle through its first member; an
 * implementation embeds these structs as the first member of its own.
 */
#ifndef LSM_ENV_ENV_IMPL_H
#define LSM_ENV_ENV_IMPL_H

#include "lsm/env/env.h"

struct env_dir {
	const struct env_ops *ops;
};

struct env_object {
	const struct env_ops *ops;
};

struct env_writer {
	const struct env_ops *ops;
};

struct env_direct {
	const struct env_ops *ops;
};

struct env_log {
	const struct env_ops *ops;
};

#endif
