// testcontainers: containers for tests, with ports, waits, files, commands and networks.
const assert = require('assert').strict;
const http = require('http');
const { GenericContainer, Network, Wait, getContainerRuntimeClient } = require('testcontainers');

function get(host, port, path) {
  return new Promise((resolve, reject) => http.get({ host, port, path }, (reply) => {
    let text = '';
    reply.on('data', (data) => { text += data; });
    reply.on('end', () => resolve(text));
  }).on('error', reject));
}

const SERVER = 'echo starting; mkdir -p /www; cp /etc/greeting /www/; echo ready; exec httpd -f -p 8080 -h /www';

async function server() {
  const network = await new Network().start();
  const container = await new GenericContainer('busybox:latest')
    .withCommand(['sh', '-c', SERVER])
    .withExposedPorts(8080)
    .withEnvironment({ WORD: 'hello' })
    .withLabels({ kind: 'testcontainers' })
    .withNetwork(network)
    .withNetworkAliases('server')
    .withCopyContentToContainer([{ content: 'greetings', target: '/etc/greeting' }])
    .withTmpFs({ '/scratch': 'rw,noexec,size=1m' })
    .withWaitStrategy(Wait.forAll([Wait.forLogMessage('ready'), Wait.forListeningPorts(), Wait.forHttp('/greeting', 8080)]))
    .start();
  assert.equal(await get(container.getHost(), container.getMappedPort(8080), '/greeting'), 'greetings');
  const done = await container.exec(['sh', '-c', 'echo $WORD; exit 5']);
  assert.deepEqual([done.output, done.exitCode], ['hello\n', 5]);
  const other = await new GenericContainer('busybox:latest').withNetwork(network)
    .withCommand(['sh', '-c', 'wget -q -O - http://server:8080/greeting; echo; echo fetched; exec sleep 100000'])
    .withWaitStrategy(Wait.forLogMessage('fetched')).start();
  const stream = await other.logs();
  const text = await new Promise((resolve) => {
    let all = '';
    stream.on('data', (data) => { all += data; if (all.includes('fetched')) resolve(all); });
    stream.on('end', () => resolve(`${all} (the end)`));
  });
  stream.destroy();
  assert.ok(text.includes('greetings'), text);
  await container.restart({ timeout: 0 });
  assert.equal(await get(container.getHost(), container.getMappedPort(8080), '/greeting'), 'greetings');
  const stopped = await container.stop({ timeout: 0 });
  assert.ok(stopped.getId());
  await other.stop({ timeout: 0 });
  await network.stop();
}

async function healthy() {
  const container = await new GenericContainer('busybox:latest').withCommand(['sleep', '100000'])
    .withHealthCheck({ test: ['CMD', 'true'], interval: 100, retries: 3, timeout: 5000, startPeriod: 0 })
    .withWaitStrategy(Wait.forHealthCheck()).start();
  await container.stop({ timeout: 0 });
}

async function built() {
  const image = await GenericContainer.fromDockerfile(`${__dirname}/context`).withBuildArgs({ WORD: 'argument' }).build('testcontainers:1', { deleteOnExit: false });
  const container = await image.withWaitStrategy(Wait.forLogMessage('argument')).start();
  await container.stop({ timeout: 0 });
}

async function nothingLeft() {
  const client = await getContainerRuntimeClient();
  assert.deepEqual(await client.container.dockerode.listContainers({ all: true }), []);
}

const awake = setInterval(() => {}, 1000); // the library's streams of logs do not keep node alive

(async () => {
  for (const part of [server, healthy, built, nothingLeft]) await part();
  clearInterval(awake);
  console.log('the end');
})().catch((error) => { console.error(error); process.exit(1); });
