/* The model for C: prepare it once, then write inputs, invoke, read outputs. Written by tightfit deploy. */
#ifndef {{ guard }}_RUNNER_H_
#define {{ guard }}_RUNNER_H_

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Returns 0, or -1: the file is of another schema version, -2: too few ops are registered,
   -3: tensors do not fit the arena or an op refuses them. */
int {{ name }}_setup(void);

/* Returns the memory of an input; write it anew before each call, its place is used for other tensors. */
void* {{ name }}_input(size_t index);

/* Returns 0, or -1 when an op fails. */
int {{ name }}_invoke(void);

/* Returns the memory of an output, valid until the next call. */
const void* {{ name }}_output(size_t index);

/* Returns the bytes of the arena that are in use after {{ name }}_setup. */
size_t {{ name }}_arena_used_bytes(void);

#ifdef __cplusplus
}
#endif

#endif /* {{ guard }}_RUNNER_H_ */
