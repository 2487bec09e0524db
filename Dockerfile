# The command line with Keras and ONNX models: docker build -t tightfit . && docker run --rm -v "$PWD:/work" tightfit --help
FROM python:3.11-slim
COPY . /source
RUN pip install --no-cache-dir '/source[keras,onnx]' && rm -r /source
RUN useradd --create-home user
USER user
WORKDIR /work
ENTRYPOINT ["tightfit"]
