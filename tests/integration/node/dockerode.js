// dockerode, as people's tools use it.  No version prefix, filters as lists, bodies and queries on POSTs.
const assert = require('assert').strict;
const Docker = require('dockerode');
const { PassThrough } = require('stream');

const docker = new Docker(); // DOCKER_HOST

function collect(stream) {
  return new Promise((resolve, reject) => {
    const parts = [];
    stream.on('data', (part) => parts.push(part));
    stream.on('end', () => resolve(Buffer.concat(parts)));
    stream.on('error', reject);
  });
}

async function split(stream) {
  const out = new PassThrough(), err = new PassThrough();
  docker.modem.demuxStream(stream, out, err);
  stream.on('end', () => { out.end(); err.end(); });
  const [o, e] = await Promise.all([collect(out), collect(err)]);
  return [o.toString(), e.toString()];
}

async function refused(promise, status, text) {
  const error = await promise.then(() => assert.fail('not refused'), (e) => e);
  assert.equal(error.statusCode, status, error.message);
  assert.ok(error.message.includes(text), error.message);
}

async function system() {
  assert.equal((await docker.ping()).toString(), 'OK');
  const info = await docker.info();
  assert.equal(info.OSType, 'linux');
  assert.ok(info.NCPU > 0 && info.MemTotal > 0 && info.ServerVersion && info.OperatingSystem);
  assert.ok((await docker.version()).ApiVersion);
  assert.ok(Array.isArray((await docker.df()).Images));
}

async function run() {
  const out = new PassThrough(), text = collect(out);
  const [result, container] = await docker.run('busybox', ['sh', '-c', 'echo ran; exit 3'], out, { Tty: true });
  assert.equal(result.StatusCode, 3);
  assert.equal((await text).toString(), 'ran\r\n');
  await container.remove();
}

async function containers() {
  await refused(docker.createContainer({ Image: 'nothere' }), 404, 'No such image: nothere:latest');
  const container = await docker.createContainer({
    Image: 'busybox', name: 'node', Cmd: ['sh', '-c', 'echo out; echo err >&2; exec sleep 100000'], Labels: { kind: 'node' },
    ExposedPorts: { '80/tcp': {} }, HostConfig: { PortBindings: { '80/tcp': [{ HostIp: '127.0.0.1', HostPort: '' }] } },
  });
  await refused(docker.createContainer({ Image: 'busybox', name: 'node' }), 409, 'is already in use by container');
  await container.start();
  await refused(container.start(), 304, '');
  const state = await container.inspect();
  assert.equal(state.State.Running, true);
  assert.ok(Number(state.NetworkSettings.Ports['80/tcp'][0].HostPort) > 0);
  assert.deepEqual((await docker.listContainers({ filters: { label: ['kind=node'], status: ['running'] } })).map((c) => c.Id), [container.id]);
  assert.deepEqual((await container.top({ ps_args: '-o pid,comm' })).Titles, ['PID', 'COMMAND']);
  await container.rename({ name: 'other' });
  await container.pause();
  await container.unpause();
  await container.update({ CpuShares: 300 });
  let logs;
  do logs = await container.logs({ stdout: true, stderr: true, follow: false }); while (logs.length < 8 + 4 + 8 + 4);
  const stats = await container.stats({ stream: false });
  assert.ok(stats.memory_stats.usage > 0);
  await container.stop({ t: 0 });
  assert.equal((await container.wait()).StatusCode, 137);
  await refused(container.kill(), 409, 'is not running');
  await container.remove({ force: true, v: true });
  await refused(container.inspect(), 404, `No such container: ${container.id}`);
}

async function streams() {
  const container = await docker.createContainer({ Image: 'busybox', Cmd: ['cat'], OpenStdin: true, StdinOnce: true });
  const stream = await container.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
  const text = split(stream);
  await container.start();
  stream.end('typed');
  assert.deepEqual(await text, ['typed', '']);
  await container.wait();
  await container.remove();
}

async function exec() {
  const container = await docker.createContainer({ Image: 'busybox', Cmd: ['sleep', '100000'] });
  await container.start();
  const command = await container.exec({ Cmd: ['sh', '-c', 'echo o; echo e >&2; exit 4'], AttachStdout: true, AttachStderr: true });
  assert.deepEqual(await split(await command.start({})), ['o\n', 'e\n']); // without an upgrade
  assert.equal((await command.inspect()).ExitCode, 4);
  const cat = await container.exec({ Cmd: ['cat'], AttachStdin: true, AttachStdout: true });
  const stream = await cat.start({ hijack: true, stdin: true });
  const text = split(stream);
  stream.end('typed');
  assert.deepEqual(await text, ['typed', '']);
  // Files in, files out.
  const tar = await collect(await container.getArchive({ path: '/etc/passwd' }));
  await container.putArchive(tar, { path: '/tmp' });
  assert.ok((await container.changes()).some((c) => c.Path === '/tmp/passwd' && c.Kind === 1));
  await refused(container.getArchive({ path: '/nothere' }), 404, 'Could not find the file /nothere in container');
  await container.remove({ force: true });
}

function follow(stream) {
  return new Promise((resolve, reject) => docker.modem.followProgress(stream, (error, lines) => (error ? reject(error) : resolve(lines))));
}

async function images() {
  const image = docker.getImage('busybox');
  await image.tag({ repo: 'node', tag: '1' });
  const tar = await docker.getImage('node:1').get();
  const data = await collect(tar);
  await docker.getImage('node:1').remove();
  const lines = await follow(await docker.loadImage(data));
  assert.ok(lines.some((line) => line.stream === 'Loaded image: node:1\n'), JSON.stringify(lines));
  assert.ok((await docker.listImages({ filters: { reference: ['node'] } })).length === 1);
  assert.ok((await docker.getImage('node:1').history()).length > 0);
  await docker.getImage('node:1').remove({ force: true });
  await refused(docker.getImage('node:1').inspect(), 404, 'No such image: node:1');
}

async function networksAndVolumes() {
  const network = await docker.createNetwork({ Name: 'node', CheckDuplicate: true, Labels: { a: 'b' } });
  await refused(docker.createNetwork({ Name: 'node', CheckDuplicate: true }), 409, 'network with name node already exists');
  const container = await docker.createContainer({ Image: 'busybox', Cmd: ['sleep', '100000'] });
  await network.connect({ Container: container.id, EndpointConfig: { Aliases: ['nick'] } });
  await container.start();
  assert.deepEqual(Object.keys((await network.inspect()).Containers), [container.id]);
  await refused(network.remove(), 403, 'has active endpoints');
  await container.remove({ force: true });
  await network.remove();
  await refused(network.inspect(), 404, 'not found');
  const volume = await docker.createVolume({ Name: 'node', Labels: { a: 'b' } });
  assert.equal((await docker.listVolumes({ filters: { label: ['a=b'] } })).Volumes.length, 1);
  await docker.getVolume('node').remove();
  assert.deepEqual(await docker.pruneNetworks(), { NetworksDeleted: null });
}

async function events() {
  const stream = await docker.getEvents({ filters: { type: ['container'], label: ['kind=watched'] } });
  const seen = [];
  const done = new Promise((resolve) => stream.on('data', (data) => {
    seen.push(...data.toString().trim().split('\n').map((line) => JSON.parse(line).status));
    if (seen.includes('destroy')) resolve();
  }));
  const container = await docker.createContainer({ Image: 'busybox', Cmd: ['sleep', '100000'], Labels: { kind: 'watched' } });
  await container.start();
  await container.remove({ force: true });
  await done;
  stream.destroy();
  assert.deepEqual(seen, ['create', 'start', 'kill', 'die', 'destroy']);
}

(async () => {
  for (const part of [system, run, containers, streams, exec, images, networksAndVolumes, events]) await part();
  console.log('the end');
})().catch((error) => { console.error(error); process.exit(1); });
