/* Runs a .tflite on a device without Python: requests on stdin, answers on stdout, as evaluation/devices/stream_worker.py.
 *
 *   request: "run N\n", then N inputs: length (8 bytes, little-endian), content
 *            "time RUNS WARMUP\n": times calls on the last inputs
 *   answer:  "ok N\n" with N outputs (for "time": one, RUNS doubles in ms), or "error 1\n" with a sentence
 *
 * Usage: device_runner FILE [BITS]: BITS are accelerators, 1 = CPU, 3 = GPU with the CPU for what it leaves.
 * Build for Android with the NDK (docs/target.md); the functions are those of LiteRT 2.3's C API.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_ENDS = 64, MAX_RANK = 8 };
typedef struct {
  unsigned int rank : 7;
  unsigned int has_strides : 1;
  int32_t dimensions[MAX_RANK];
  uint32_t strides[MAX_RANK];
} Layout;
typedef struct {
  int element_type;
  Layout layout;
} TensorType;

int LiteRtCreateEnvironment(int, const void *, void **);
int LiteRtCreateModelFromFile(void *, const char *, void **);
int LiteRtCreateOptions(void **);
int LiteRtSetOptionsHardwareAccelerators(void *, int);
int LiteRtCreateCompiledModel(void *, void *, void *, void **);
int LiteRtGetModelSignature(void *, size_t, void **);
int LiteRtGetNumSignatureInputs(void *, size_t *);
int LiteRtGetNumSignatureOutputs(void *, size_t *);
int LiteRtGetSignatureInputTensorByIndex(void *, size_t, void **);
int LiteRtGetSignatureOutputTensorByIndex(void *, size_t, void **);
int LiteRtGetRankedTensorType(void *, TensorType *);
int LiteRtGetCompiledModelInputBufferRequirements(void *, size_t, size_t, void **);
int LiteRtGetCompiledModelOutputBufferRequirements(void *, size_t, size_t, void **);
int LiteRtCreateManagedTensorBufferFromRequirements(void *, const TensorType *, void *, void **);
int LiteRtLockTensorBuffer(void *, void **, int);
int LiteRtUnlockTensorBuffer(void *);
int LiteRtRunCompiledModel(void *, size_t, size_t, void **, size_t, void **);

typedef struct {
  void *buffer;
  size_t bytes;
} End;

static End inputs[MAX_ENDS], outputs[MAX_ENDS];
static void *in_handles[MAX_ENDS], *out_handles[MAX_ENDS];
static size_t input_count, output_count;
static void *compiled;
static FILE *answers;

static void put_size(uint64_t size) {
  unsigned char bytes[8];
  for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(size >> (8 * i));
  fwrite(bytes, 1, 8, answers);
}

static uint64_t take_size(void) {
  unsigned char bytes[8];
  uint64_t size = 0;
  if (fread(bytes, 1, 8, stdin) != 8) exit(1);
  for (int i = 0; i < 8; i++) size |= (uint64_t)bytes[i] << (8 * i);
  return size;
}

static void say_error(const char *what, int status) {
  char text[200];
  int length = snprintf(text, sizeof text, "%s gave status %d", what, status);
  fprintf(answers, "error 1\n");
  put_size((uint64_t)length);
  fwrite(text, 1, (size_t)length, answers);
  fflush(answers);
}

static void need(const char *what, int status) {
  if (status == 0) return;
  say_error(what, status);
  exit(1);
}

static size_t element_bytes(int type) {
  switch (type) {
    case 3: case 6: case 9: return 1;   /* uint8, bool, int8 */
    case 7: case 10: case 17: return 2; /* int16, float16, uint16 */
    case 1: case 2: case 16: return 4;  /* float32, int32, uint32 */
    case 4: case 11: return 8;          /* int64, float64 */
    default: return 0;
  }
}

static End make_end(void *environment, void *tensor, void *requirements) {
  TensorType type;
  End end = {0, 0};
  memset(&type, 0, sizeof type);
  need("LiteRtGetRankedTensorType", LiteRtGetRankedTensorType(tensor, &type));
  end.bytes = element_bytes(type.element_type);
  for (unsigned i = 0; i < type.layout.rank; i++) {
    if (type.layout.dimensions[i] < 0) type.layout.dimensions[i] = 1; /* a free batch */
    end.bytes *= (size_t)type.layout.dimensions[i];
  }
  need("LiteRtCreateManagedTensorBufferFromRequirements",
       LiteRtCreateManagedTensorBufferFromRequirements(environment, &type, requirements, &end.buffer));
  return end;
}

static void load(const char *path, int accelerators) {
  void *environment, *model, *options, *signature, *tensor, *needs;
  need("LiteRtCreateEnvironment", LiteRtCreateEnvironment(0, NULL, &environment));
  need("LiteRtCreateModelFromFile", LiteRtCreateModelFromFile(environment, path, &model));
  need("LiteRtCreateOptions", LiteRtCreateOptions(&options));
  need("LiteRtSetOptionsHardwareAccelerators", LiteRtSetOptionsHardwareAccelerators(options, accelerators));
  need("LiteRtCreateCompiledModel", LiteRtCreateCompiledModel(environment, model, options, &compiled));
  need("LiteRtGetModelSignature", LiteRtGetModelSignature(model, 0, &signature));
  need("LiteRtGetNumSignatureInputs", LiteRtGetNumSignatureInputs(signature, &input_count));
  need("LiteRtGetNumSignatureOutputs", LiteRtGetNumSignatureOutputs(signature, &output_count));
  if (input_count > MAX_ENDS || output_count > MAX_ENDS) need("the count of inputs and outputs", 1);
  for (size_t i = 0; i < input_count; i++) {
    need("an input", LiteRtGetSignatureInputTensorByIndex(signature, i, &tensor));
    need("an input's buffer", LiteRtGetCompiledModelInputBufferRequirements(compiled, 0, i, &needs));
    inputs[i] = make_end(environment, tensor, needs);
    in_handles[i] = inputs[i].buffer;
  }
  for (size_t i = 0; i < output_count; i++) {
    need("an output", LiteRtGetSignatureOutputTensorByIndex(signature, i, &tensor));
    need("an output's buffer", LiteRtGetCompiledModelOutputBufferRequirements(compiled, 0, i, &needs));
    outputs[i] = make_end(environment, tensor, needs);
    out_handles[i] = outputs[i].buffer;
  }
}

static int call(void) {
  return LiteRtRunCompiledModel(compiled, 0, input_count, in_handles, output_count, out_handles);
}

static void take_inputs(size_t count) {
  if (count != input_count) need("the number of inputs", (int)count);
  for (size_t i = 0; i < count; i++) {
    void *place;
    uint64_t size = take_size();
    if (size != inputs[i].bytes) need("the size of an input", (int)size);
    need("LiteRtLockTensorBuffer", LiteRtLockTensorBuffer(inputs[i].buffer, &place, 1));
    if (fread(place, 1, (size_t)size, stdin) != size) exit(1);
    need("LiteRtUnlockTensorBuffer", LiteRtUnlockTensorBuffer(inputs[i].buffer));
  }
}

static void put_outputs(void) {
  fprintf(answers, "ok %zu\n", output_count);
  for (size_t i = 0; i < output_count; i++) {
    void *place;
    need("LiteRtLockTensorBuffer", LiteRtLockTensorBuffer(outputs[i].buffer, &place, 0));
    put_size(outputs[i].bytes);
    fwrite(place, 1, outputs[i].bytes, answers);
    need("LiteRtUnlockTensorBuffer", LiteRtUnlockTensorBuffer(outputs[i].buffer));
  }
  fflush(answers);
}

/* A GPU has ended only when its outputs can be read, so a call is timed with the reading. */
static double timed_call(void) {
  struct timespec begin, end;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  need("LiteRtRunCompiledModel", call());
  for (size_t i = 0; i < output_count; i++) {
    void *place;
    need("LiteRtLockTensorBuffer", LiteRtLockTensorBuffer(outputs[i].buffer, &place, 0));
    need("LiteRtUnlockTensorBuffer", LiteRtUnlockTensorBuffer(outputs[i].buffer));
  }
  clock_gettime(CLOCK_MONOTONIC, &end);
  return 1e3 * (double)(end.tv_sec - begin.tv_sec) + 1e-6 * (double)(end.tv_nsec - begin.tv_nsec);
}

static void put_times(unsigned runs, unsigned warmup) {
  for (unsigned i = 0; i < warmup; i++) timed_call();
  double *times = calloc(runs ? runs : 1, sizeof *times);
  if (!times) exit(1);
  for (unsigned i = 0; i < runs; i++) times[i] = timed_call();
  fprintf(answers, "ok 1\n");
  put_size((uint64_t)runs * sizeof *times);
  fwrite(times, sizeof *times, runs, answers);
  fflush(answers);
  free(times);
}

int main(int argc, char **argv) {
  char line[64];
  unsigned first, second;
  if (argc < 2) return 2;
  answers = fdopen(dup(1), "wb");
  if (!answers || dup2(2, 1) < 0) return 2; /* what LiteRT prints is no answer */
  load(argv[1], argc > 2 ? atoi(argv[2]) : 1);
  fprintf(answers, "ok 0\n");
  fflush(answers);
  while (fgets(line, sizeof line, stdin)) {
    if (sscanf(line, "run %u", &first) == 1) {
      take_inputs(first);
      int status = call();
      if (status == 0) put_outputs();
      else say_error("LiteRtRunCompiledModel", status);
    } else if (sscanf(line, "time %u %u", &first, &second) == 2) {
      put_times(first, second);
    } else {
      return 1;
    }
  }
  return 0;
}
