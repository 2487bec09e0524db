// The model on tflite-micro. Written by tightfit deploy.
#include "{{ name }}_runner.h"

#include <cstdint>

#include "{{ name }}_data.h"
#include "{{ name }}_info.h"
#include "{{ name }}_ops.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/schema/schema_generated.h"
{% if variables %}
#include "tensorflow/lite/micro/micro_allocator.h"
#include "tensorflow/lite/micro/micro_resource_variable.h"
{% endif %}

namespace {

alignas(16) uint8_t arena[{{ upper }}_ARENA_BYTES];
tflite::MicroInterpreter* interpreter = nullptr;

}  // namespace

extern "C" int {{ name }}_setup(void) {
  const tflite::Model* model = tflite::GetModel({{ name }}_data);
  if (model->version() != TFLITE_SCHEMA_VERSION) return -1;

  static tflite::MicroMutableOpResolver<k{{ camel }}OpCount> resolver;
  if (interpreter == nullptr && {{ camel }}AddOps(resolver) != kTfLiteOk) return -2;

{% if variables %}
  static tflite::MicroAllocator* allocator = tflite::MicroAllocator::Create(arena, {{ upper }}_ARENA_BYTES);
  static tflite::MicroResourceVariables* variables =
      tflite::MicroResourceVariables::Create(allocator, {{ variables }});
  static tflite::MicroInterpreter built(model, resolver, allocator, variables);
{% else %}
  static tflite::MicroInterpreter built(model, resolver, arena, {{ upper }}_ARENA_BYTES);
{% endif %}
  if (built.AllocateTensors() != kTfLiteOk) return -3;
  interpreter = &built;
  return 0;
}

extern "C" void* {{ name }}_input(size_t index) { return interpreter->input(index)->data.data; }

extern "C" int {{ name }}_invoke(void) { return interpreter->Invoke() == kTfLiteOk ? 0 : -1; }

extern "C" const void* {{ name }}_output(size_t index) { return interpreter->output(index)->data.data; }

extern "C" size_t {{ name }}_arena_used_bytes(void) { return interpreter->arena_used_bytes(); }
