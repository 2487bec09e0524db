/* The model, in flash. Written by tightfit deploy. */
#include "{{ name }}_data.h"

/* Constants in the file are aligned to 16 bytes from its begin. */
_Alignas(16) const unsigned char {{ name }}_data[{{ upper }}_BYTES] = {
{{ file_text }}
};
