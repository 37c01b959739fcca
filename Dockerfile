# Restores photographs with the released models, without Keras and TensorFlow:
#   docker build -t xunit-keras .
#   docker run --rm -v "$PWD:/photographs" --user "$(id -u):$(id -g)" xunit-keras \
#       restore -i small.png -o large.png -m xsrcnn-f-x3
FROM python:3.13-slim AS build
WORKDIR /source
COPY requirements requirements
RUN python -m venv --without-pip /opt/xunit-keras
RUN pip --python /opt/xunit-keras/bin/python install --no-cache-dir -r requirements/light.txt -c requirements/dev.txt
COPY . .
RUN pip --python /opt/xunit-keras/bin/python install --no-cache-dir --no-deps .
# Packages bring 60 MB of their own tests along.
RUN find /opt/xunit-keras -type d -name tests -prune -exec rm -r {} +

FROM python:3.13-slim
COPY --from=build /opt/xunit-keras /opt/xunit-keras
WORKDIR /photographs
ENTRYPOINT ["/opt/xunit-keras/bin/xunit-keras"]
CMD ["--help"]
