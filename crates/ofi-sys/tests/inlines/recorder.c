/*
 * A libfabric in which every entry of every table only writes down that it was called, with what.
 *
 * GENERATED holds what follows from the headers' text (see recorder.rs): a recording function per
 * entry, the tables, objects with them, and for each inline function its twin_<name>.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rdma/fabric.h>
#ifndef container_of /* fi_profile.h of 2.x uses it and does not define it */
#define container_of(ptr, type, field) ((type *) ((char *) (ptr) - offsetof(type, field)))
#endif

#define MAX_ARGS 20

/* What the Rust side reads and sets. */
char recorder_text[8192];             /* the calls, as text */
size_t recorder_offset;               /* of the entry called last, within its table */
int64_t recorder_ret;                 /* what every entry returns */
char recorder_memory[MAX_ARGS][256];  /* for pointer arguments to point to */

static void put(const char *format, ...)
{
	size_t used = strlen(recorder_text);
	va_list args;

	va_start(args, format);
	vsnprintf(recorder_text + used, sizeof(recorder_text) - used, format, args);
	va_end(args);
}

static void entry(const char *name, size_t offset)
{
	recorder_offset = offset;
	put("\n%s", name);
}

static void number(const char *name, uint64_t value)
{
	put(" %s=%#llx", name, (unsigned long long) value);
}

static void string(const char *name, const char *value)
{
	put(" %s=\"%s\"", name, value);
}

/* Arguments that lie on the inline function's stack: what they hold counts, not where. */

static void *opened(void);
static void *profile_ops(void);
static void control(int command, void *arg);
static void join(const void *addr, uint64_t flags);
static void open_ops(const char *name, void **ops);
void *recorder_object(const char *class, size_t position);

static void size_behind(const size_t *size)
{
	number("*size", *size);
}

#include GENERATED

static void control(int command, void *arg)
{
	struct fi_alias *alias = arg;
	struct fi_fid_var *var = arg;
	struct fi_mr_raw_attr *raw = arg;
	struct fi_mr_map_raw *map = arg;
	struct fi_mr_modify *modify = arg, rest;
	struct fi_fid_export *export = arg;

	switch (command) {
	case FI_ALIAS: /* fi_ep_alias has the fid on its stack too */
		if ((char *) alias->fid >= recorder_memory[0] &&
		    (char *) alias->fid < recorder_memory[MAX_ARGS])
			number("fid", (uintptr_t) alias->fid);
		number("flags", alias->flags);
		if (!recorder_ret)
			*alias->fid = opened();
		break;
	case FI_GET_VAL:
	case FI_SET_VAL:
		number("name", var->name);
		number("val", (uintptr_t) var->val);
		break;
	case FI_GET_RAW_MR:
		number("flags", raw->flags);
		number("base_addr", (uintptr_t) raw->base_addr);
		number("raw_key", (uintptr_t) raw->raw_key);
		number("key_size", (uintptr_t) raw->key_size);
		break;
	case FI_MAP_RAW_MR:
		number("flags", map->flags);
		number("base_addr", map->base_addr);
		number("raw_key", (uintptr_t) map->raw_key);
		number("key_size", map->key_size);
		number("key", (uintptr_t) map->key);
		break;
	case FI_UNMAP_KEY:
		number("key", *(uint64_t *) arg);
		break;
	case FI_REFRESH:
		number("flags", modify->flags);
		number("mr_iov", (uintptr_t) modify->attr.mr_iov);
		number("iov_count", modify->attr.iov_count);
		rest = *modify;
		rest.flags = 0;
		rest.attr.mr_iov = NULL;
		rest.attr.iov_count = 0;
		for (size_t i = 0; i < sizeof(rest); i++)
			if (((char *) &rest)[i])
				put(" byte %zu is set", i);
		break;
	case FI_EXPORT_FID:
		number("fid", (uintptr_t) export->fid);
		number("flags", export->flags);
		number("context", (uintptr_t) export->context);
		break;
	default:
		number("arg", (uintptr_t) arg);
	}
}

static void join(const void *addr, uint64_t flags)
{
	const struct fi_collective_addr *coll = addr;

	if (flags & FI_COLLECTIVE) {
		number("set", (uintptr_t) coll->set);
		number("coll_addr", coll->coll_addr);
	} else {
		number("addr", (uintptr_t) addr);
	}
}

static void open_ops(const char *name, void **ops)
{
	if (strcmp(name, "fi_profile_ops"))
		number("ops", (uintptr_t) ops);
	else
		*ops = profile_ops();
}

/* The object that a call has opened. */
static void *opened(void)
{
	return recorder_object("fid_ep", MAX_ARGS - 1);
}

/* Null where the headers have no profile yet: then nothing asks for one. */
static void *profile_ops(void)
{
	char *profile = recorder_object("fid_profile", MAX_ARGS - 1);

	/* What libfabric returns is the address of the object's `ops`, its last member. */
	return profile ? profile + sizeof(struct fid) : NULL;
}

/* The exported functions, for the inline functions that call one. */

int fi_open(uint32_t version, const char *name, void *attr, size_t attr_len, uint64_t flags,
	    struct fid **fid, void *context)
{
	put("\nfi_open");
	number("version", version);
	string("name", name);
	number("attr", (uintptr_t) attr);
	number("attr_len", attr_len);
	number("flags", flags);
	number("context", (uintptr_t) context);
	if (!strcmp(name, "logging")) {
		struct fid_logging *log = context;

		number("fclass", log->fid.fclass);
		number("size", log->ops->size);
	}
	*fid = opened();
	return (int) recorder_ret;
}

struct fi_info *fi_dupinfo(const struct fi_info *info)
{
	put("\nfi_dupinfo");
	number("info", (uintptr_t) info);
	return (struct fi_info *) (uintptr_t) recorder_ret;
}

int fi_fabric(struct fi_fabric_attr *attr, struct fid_fabric **fabric, void *context)
{
	put("\nfi_fabric");
	number("attr", (uintptr_t) attr);
	number("fabric", (uintptr_t) fabric);
	number("context", (uintptr_t) context);
	return (int) recorder_ret;
}

/* Those that no inline function calls: with them the feature `dlopen` takes this for a libfabric. */

uint32_t fi_version(void)
{
	return FI_VERSION(FI_MAJOR_VERSION, FI_MINOR_VERSION);
}

int fi_getinfo(uint32_t version, const char *node, const char *service, uint64_t flags,
	       const struct fi_info *hints, struct fi_info **info)
{
	abort();
}

void fi_freeinfo(struct fi_info *info)
{
	abort();
}

const char *fi_strerror(int errnum)
{
	abort();
}

char *fi_tostr(const void *data, enum fi_type datatype)
{
	abort();
}

char *fi_tostr_r(char *buf, size_t len, const void *data, enum fi_type datatype)
{
	abort();
}

int fi_getparams(struct fi_param **params, int *count)
{
	abort();
}

void fi_freeparams(struct fi_param *params)
{
	abort();
}
