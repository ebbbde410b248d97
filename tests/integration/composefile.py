"""A project for docker-compose with what people write into one."""
import os

MAIN = """
version: "2.4"
services:
  base:
    extends: {file: common.yml, service: common}
    profiles: ["never"]
  store:
    image: ${IMAGE}
    command: sh -c 'echo store up; echo data >/data/file; httpd -f -p 8080 -h /data'
    volumes: ["data:/data", "./conf:/conf:ro"]
    networks: {back: {aliases: [database], ipv4_address: 10.83.0.10}}
    healthcheck: {test: "wget -q -O /dev/null http://127.0.0.1:8080/file", interval: 200ms, timeout: 5s, retries: 50}
    labels: {role: store}
    restart: unless-stopped
    tmpfs: /scratch
    mem_limit: 64m
    cpus: 0.5
    ulimits: {nofile: {soft: 100, hard: 200}}
    cap_add: [NET_ADMIN]
    sysctls: {net.ipv4.ip_default_ttl: 33}
    extra_hosts: ["example:192.0.2.7"]
    stop_grace_period: 0s
    logging: {driver: json-file, options: {max-size: 1m}}
  web:
    extends: {file: common.yml, service: common}
    command: sh -c 'echo "$$WORD $$(wget -q -O - http://database:8080/file)"; exec httpd -f -p 80 -h /conf'
    depends_on: {store: {condition: service_healthy}}
    networks: [back, front]
    ports: ["127.0.0.1::80"]
    volumes: ["./conf:/conf:ro"]
    env_file: web.env
    hostname: webhost
    init: true
    read_only: true
    user: "0"
    working_dir: /conf
  worker:
    extends: {file: common.yml, service: common}
    command: sleep 100000
    networks: [back]
  made:
    build: {context: made, args: {WORD: built}, labels: {made: "yes"}, target: last}
    image: ${REGISTRY}/made:1
    profiles: ["build"]
  tool:
    image: ${IMAGE}
    entrypoint: [echo, tool]
    profiles: ["tools"]
networks:
  front: {}
  back:
    driver: bridge
    labels: {which: back}
    ipam: {config: [{subnet: 10.83.0.0/24, gateway: 10.83.0.1}]}
volumes:
  data: {labels: {which: data}}
"""

COMMON = """
version: "2.4"
services:
  common:
    image: ${IMAGE}
    environment: [WORD=common]
    labels: [from=common]
    stop_grace_period: 0s
"""

FILES = {
    "docker-compose.yml": MAIN, "common.yml": COMMON, ".env": "IMAGE=busybox\nREGISTRY=nowhere\n", "other.env": "IMAGE=busybox:latest\nREGISTRY=nowhere\n",
    "web.env": "OTHER=fromfile\n", "conf/index.html": "page\n", "change.yml": 'version: "2.4"\nservices: {worker: {environment: [ADDED=1]}}\n',
    "made/Dockerfile": "FROM busybox AS first\nARG WORD\nRUN echo $WORD >/word\nFROM first AS last\nCMD cat /word\n",
}


def write(directory):
    for name, text in FILES.items():
        path = f"{directory}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
