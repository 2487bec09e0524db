// The ops of the model. Written by tightfit deploy.
#ifndef {{ guard }}_OPS_H_
#define {{ guard }}_OPS_H_

#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"

constexpr unsigned int k{{ camel }}OpCount = {{ methods | length }};

inline TfLiteStatus {{ camel }}AddOps(tflite::MicroMutableOpResolver<k{{ camel }}OpCount>& resolver) {
{% for method in methods %}
  if (resolver.{{ method }}() != kTfLiteOk) return kTfLiteError;
{% endfor %}
  return kTfLiteOk;
}

#endif  // {{ guard }}_OPS_H_
