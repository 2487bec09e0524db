/* Memory, inputs and outputs of the model. Written by tightfit deploy. */
#ifndef {{ guard }}_INFO_H_
#define {{ guard }}_INFO_H_

#include <stdbool.h>
#include <stdint.h>

/* Measured in the tflite-micro interpreter, reference kernels, {{ host }}. A 32-bit processor needs less for the
   interpreter's own structures ({{ persistent_bytes }} bytes here); optimized kernels may need more scratch memory. */
#define {{ upper }}_ARENA_BYTES {{ arena_bytes }}u

#define {{ upper }}_INPUTS {{ inputs | length }}
#define {{ upper }}_OUTPUTS {{ outputs | length }}
{% for kind, ends in (("input", inputs), ("output", outputs)) %}
{% for end in ends %}

/* {{ kind }} {{ end.index }}: {{ end.dtype }} [{{ end.shape | join(", ") }}] */
#define {{ upper }}_{{ kind | upper }}_{{ end.index }}_COUNT {{ end.count }}u
typedef {{ end.c_type }} {{ name }}_{{ kind }}_{{ end.index }}_t;
{% if end.scale is not none %}
/* real = scale * (integer - zero point) */
#define {{ upper }}_{{ kind | upper }}_{{ end.index }}_SCALE {{ end.scale_text }}
#define {{ upper }}_{{ kind | upper }}_{{ end.index }}_ZERO_POINT ({{ end.zero_point }})
{% endif %}
{% if end.limits and kind == "input" %}

static inline {{ end.c_type }} {{ name }}_quantize_input_{{ end.index }}(float real) {
  const float scaled = real / {{ upper }}_INPUT_{{ end.index }}_SCALE + (float){{ upper }}_INPUT_{{ end.index }}_ZERO_POINT;
  if (!(scaled > {{ end.limits[0] }}.0f)) return ({{ end.c_type }}){{ end.limits[0] }};
  if (scaled > {{ end.limits[1] }}.0f) return ({{ end.c_type }}){{ end.limits[1] }};
  return ({{ end.c_type }})(int32_t)(scaled < 0.0f ? scaled - 0.5f : scaled + 0.5f);
}
{% endif %}
{% if end.limits and kind == "output" %}

static inline float {{ name }}_real_output_{{ end.index }}({{ end.c_type }} integer) {
  return {{ upper }}_OUTPUT_{{ end.index }}_SCALE * (float)((int32_t)integer - {{ upper }}_OUTPUT_{{ end.index }}_ZERO_POINT);
}
{% endif %}
{% endfor %}
{% endfor %}

#endif /* {{ guard }}_INFO_H_ */
