/* A test vector: inputs, and the outputs of tflite-micro's reference kernels. Written by tightfit deploy. */
#include "{{ name }}_test.h"

#include <math.h>
{% for end, text in test_inputs %}

const {{ end.c_type }} {{ name }}_test_input_{{ end.index }}[{{ upper }}_INPUT_{{ end.index }}_COUNT] = {
{{ text }}
};
{% endfor %}
{% for end, text in test_outputs %}

const {{ end.c_type }} {{ name }}_test_output_{{ end.index }}[{{ upper }}_OUTPUT_{{ end.index }}_COUNT] = {
{{ text }}
};
{% endfor %}
