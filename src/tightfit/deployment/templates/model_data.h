/* The model, in flash. Written by tightfit deploy. */
#ifndef {{ guard }}_DATA_H_
#define {{ guard }}_DATA_H_

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define {{ upper }}_BYTES {{ file_bytes }}u

extern const unsigned char {{ name }}_data[{{ upper }}_BYTES];

#ifdef __cplusplus
}
#endif

#endif /* {{ guard }}_DATA_H_ */
