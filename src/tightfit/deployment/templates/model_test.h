/* A test vector: inputs, and the outputs of tflite-micro's reference kernels. Written by tightfit deploy. */
#ifndef {{ guard }}_TEST_H_
#define {{ guard }}_TEST_H_

#include "{{ name }}_info.h"

#ifdef __cplusplus
extern "C" {
#endif

{% for end in inputs %}
extern const {{ end.c_type }} {{ name }}_test_input_{{ end.index }}[{{ upper }}_INPUT_{{ end.index }}_COUNT];
{% endfor %}
{% for end in outputs %}
extern const {{ end.c_type }} {{ name }}_test_output_{{ end.index }}[{{ upper }}_OUTPUT_{{ end.index }}_COUNT];
{% endfor %}

#ifdef __cplusplus
}
#endif

#endif /* {{ guard }}_TEST_H_ */
