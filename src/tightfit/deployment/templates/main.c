/* An example: runs the model on the test vector and compares the outputs. Written by tightfit deploy. */
#include <stdio.h>
#include <string.h>

#include "{{ name }}_info.h"
#include "{{ name }}_runner.h"
#include "{{ name }}_test.h"

/* Reference kernels give the integers of the test vector; float outputs may differ by rounding. */
#define LARGEST_DIFFERENCE {{ tolerance }}

static double largest_difference;

static void compare(double value, double expected) {
  const double difference = value > expected ? value - expected : expected - value;
  if (!(difference <= largest_difference)) largest_difference = difference;
}

int main(void) {
  const int problem = {{ name }}_setup();
  if (problem != 0) {
    printf("{{ name }}_setup returned %d\n", problem);
    return 1;
  }
{% for end in inputs %}
  memcpy({{ name }}_input({{ end.index }}), {{ name }}_test_input_{{ end.index }}, sizeof({{ name }}_test_input_{{ end.index }}));
{% endfor %}
  if ({{ name }}_invoke() != 0) {
    printf("{{ name }}_invoke failed\n");
    return 1;
  }
{% for end in outputs %}
  {
    const {{ end.c_type }}* output = (const {{ end.c_type }}*){{ name }}_output({{ end.index }});
    for (size_t i = 0; i < {{ upper }}_OUTPUT_{{ end.index }}_COUNT; ++i) {
      compare((double)output[i], (double){{ name }}_test_output_{{ end.index }}[i]);
    }
  }
{% endfor %}
  printf("arena: %lu of %lu bytes in use\n", (unsigned long){{ name }}_arena_used_bytes(),
         (unsigned long){{ upper }}_ARENA_BYTES);
  printf("largest difference from the test vector: %g\n", largest_difference);
  return largest_difference <= LARGEST_DIFFERENCE ? 0 : 1;
}
