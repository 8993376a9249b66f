import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { after, before, test } from 'node:test'
import { type TcpProxy, tcpProxy } from '../../support/tcp-proxy.ts'
import { until } from '../../support/until.ts'

let echo: Server
let target: { host: string; port: number }
const proxies: TcpProxy[] = []
const sockets = new Set<Socket>()

before(async () => {
  echo = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.pipe(socket)
  })
  await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve))
  target = { host: '127.0.0.1', port: (echo.address() as AddressInfo).port }
})

after(async () => {
  for (const proxy of proxies) await proxy.close()
  for (const socket of sockets) socket.destroy()
  echo.close()
})

test('what is sent through the proxy arrives whole and in order, also when it is more than the proxy keeps', async () => {
  const { client } = await open()
  const sent = Buffer.alloc(8 * 1024 * 1024, 'cuestream ')
  const chunks: Buffer[] = []
  client.on('data', (chunk: Buffer) => chunks.push(chunk))
  client.end(sent)
  await once(client, 'end')
  assert.ok(Buffer.concat(chunks).equals(sent))
})

test('a delay holds each direction for its own time', async () => {
  const { client, proxy } = await open()
  proxy.toTargetDelayMs = 60
  proxy.toClientDelayMs = 40
  const startMs = performance.now()
  client.write('late')
  const [answer] = await once(client, 'data')
  assert.equal(String(answer), 'late')
  assert.ok(performance.now() - startMs >= 99, 'it came sooner than both delays')
})

test('a connection that is to end within an answer brings what comes before, and its end', async () => {
  const { client, proxy } = await open()
  const ended = proxy.endWithin(100_000)
  const chunks: Buffer[] = []
  client.on('data', (chunk: Buffer) => chunks.push(chunk))
  client.write(Buffer.alloc(150_000, 'cuestream '))
  await Promise.all([ended, once(client, 'end')])
  assert.equal(Buffer.concat(chunks).length, 100_000)
  const again = connect(proxy.port, '127.0.0.1')
  again.write('after')
  assert.equal(String((await once(again, 'data'))[0]), 'after')
  again.destroy()
})

test('a cut resets open connections and new ones; after the restore they pass', async () => {
  const { client, proxy } = await open()
  client.write('before')
  await once(client, 'data')
  proxy.cut()
  assert.equal(await endOf(client), 'ECONNRESET')
  assert.equal(await endOf(connect(proxy.port, '127.0.0.1')), 'ECONNRESET')
  proxy.restore()
  const again = connect(proxy.port, '127.0.0.1')
  again.write('after')
  assert.equal(String((await once(again, 'data'))[0]), 'after')
  again.destroy()
})

test('a black hole keeps the connection and passes nothing; what was sent arrives once it is off', async () => {
  const { client, proxy } = await open()
  client.write('first')
  await once(client, 'data')
  proxy.blackhole(true)
  let got = ''
  client.on('data', (chunk) => {
    got += chunk
  })
  client.write('held')
  const { client: direct } = await open() // a round trip on another proxy gives the held one time to pass
  direct.write('x')
  await once(direct, 'data')
  assert.equal(got, '')
  assert.equal(proxy.connections, 1)
  proxy.blackhole(false)
  await until('the held bytes', async () => got === 'held')
})

test('a connection to a target that is down ends, it does not hang', async () => {
  const gone = createServer()
  await new Promise<void>((resolve) => gone.listen(0, '127.0.0.1', resolve))
  const { port } = gone.address() as AddressInfo
  await new Promise((resolve) => gone.close(resolve))
  const proxy = await tcpProxy({ host: '127.0.0.1', port })
  proxies.push(proxy)
  assert.equal(await endOf(connect(proxy.port, '127.0.0.1')), 'ECONNRESET')
})

async function open() {
  const proxy = await tcpProxy(target)
  proxies.push(proxy)
  const client = connect(proxy.port, '127.0.0.1')
  client.on('error', () => {})
  await once(client, 'connect')
  after(() => client.destroy())
  return { proxy, client }
}

/** @returns the code of the error that ends it. */
async function endOf(socket: Socket): Promise<string | undefined> {
  let code: string | undefined
  socket.on('error', (error: NodeJS.ErrnoException) => {
    code = error.code
  })
  socket.resume()
  await new Promise((resolve) => socket.once('close', resolve))
  return code
}
