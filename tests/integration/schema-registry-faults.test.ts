/** The schema registry's client under faults: a real registry behind a proxy that counts, alters and cuts answers. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, describe, test } from 'node:test'
import { openConfluentRegistry } from '../../adapters/confluent/schema-registry.ts'
import { CuestreamError, InvalidRecordError, OutageError, RetryableError, SetupError } from '../../ports/errors.ts'
import type { SchemaRegistry } from '../../ports/schema-registry.ts'
import { createCodec } from '../../runtime/codec.ts'
import { uploadsRemoved } from '../../topics/topics.ts'
import { testServices } from '../support/services.ts'
import { tcpProxy } from '../support/tcp-proxy.ts'
import { tlsFront } from '../support/tls-front.ts'

const { schemaRegistryUrl } = await testServices()
const NOBODYS_ID = 2_000_000_000

describe('the schema registry', { timeout: 120_000 }, () => {
  test('kafkajs/confluent-schema-registry#301: records of an unknown schema cost one look-up a second', async () => {
    const proxy = await httpProxy()
    let nowMs = 0
    const registry = openConfluentRegistry({ url: proxy.url, now: () => nowMs })
    const lookUps = () => proxy.asked.filter((asked) => asked.includes('/schemas/ids/')).length
    const isUnknown = (error: unknown) => error instanceof CuestreamError && error.code === 'unknown-schema'
    const badRecords = async (count: number) => {
      const together = Array.from({ length: count }, () => registry.schemaById(NOBODYS_ID))
      for (const { reason } of (await Promise.allSettled(together)) as PromiseRejectedResult[])
        assert.ok(isUnknown(reason))
      for (let i = 0; i < count; i++) await assert.rejects(registry.schemaById(NOBODYS_ID), isUnknown)
    }
    await badRecords(50)
    assert.equal(lookUps(), 1)
    nowMs = 999
    await badRecords(5)
    assert.equal(lookUps(), 1)
    nowMs = 1000
    await badRecords(5)
    assert.equal(lookUps(), 2)
    await assert.rejects(registry.schemaById(NOBODYS_ID + 1), isUnknown)
    assert.equal(lookUps(), 3)
  })

  test('a schema that a follower of the registry does not know yet is worth another try, and condemned after five seconds', async () => {
    const proxy = await httpProxy()
    const clock = { nowMs: 0 }
    const registry = openConfluentRegistry({ url: proxy.url, now: () => clock.nowMs })
    const isWorthAnother = (error: unknown) =>
      error instanceof RetryableError && !(error instanceof OutageError) && error.code === 'unknown-schema'
    const isCondemned = (error: unknown) => error instanceof InvalidRecordError && error.code === 'unknown-schema'
    const id = await registered()
    const behind = (response: ServerResponse) =>
      response.writeHead(404).end('{"error_code":40403,"message":"not here"}')
    proxy.answer = behind
    for (const nowMs of [0, 10, 1000, 4999]) {
      clock.nowMs = nowMs
      await assert.rejects(registry.schemaById(id), isWorthAnother)
    }
    proxy.answer = undefined
    clock.nowMs = 6000
    assert.equal((await registry.schemaById(id)).type, 'record')
    for (const nowMs of [10_000, 11_000, 12_000, 13_000, 14_000]) {
      clock.nowMs = nowMs
      await assert.rejects(registry.schemaById(NOBODYS_ID), isWorthAnother)
    }
    clock.nowMs = 15_000
    await assert.rejects(registry.schemaById(NOBODYS_ID), isCondemned)
    clock.nowMs = 60_000 // much later the same id may be a new schema
    await assert.rejects(registry.schemaById(NOBODYS_ID), isWorthAnother)
  })

  test('a version that is listed and not known yet is an outage for who registers', async () => {
    const proxy = await httpProxy()
    const subject = newSubject()
    await openConfluentRegistry({ url: schemaRegistryUrl }).register(subject, track(`f${randomUUID().slice(0, 8)}`))
    const registry = openConfluentRegistry({ url: proxy.url })
    proxy.before = async (asked) => {
      if (!asked.includes('/schemas/ids/')) return
      proxy.answer = (response) => response.writeHead(404).end('{"error_code":40403,"message":"not here"}')
    }
    await assertOutage(registry.versions(subject))
  })

  test('a schema that is known is never asked for again, and look-ups of one id at the same time are one', async () => {
    const proxy = await httpProxy()
    const id = await registered()
    const registry = openConfluentRegistry({ url: proxy.url })
    await Promise.all(Array.from({ length: 20 }, () => registry.schemaById(id)))
    await registry.schemaById(id)
    assert.equal(proxy.asked.length, 1)
  })

  test('what is known goes on while the registry is away, and what is new is found once it is back', async () => {
    const { hostname, port, pathname } = new URL(schemaRegistryUrl)
    const proxy = await tcpProxy({ host: hostname, port: Number(port) })
    after(() => proxy.close())
    const registry = openConfluentRegistry({ url: `http://127.0.0.1:${proxy.port}${pathname}` })
    const [known, later] = [await registered(), await registered()]
    await registry.schemaById(known)
    proxy.cut()
    await registry.schemaById(known)
    await assertOutage(registry.schemaById(later))
    proxy.restore()
    await registry.schemaById(later)
  })

  test('a registry that does not answer is an outage by the deadline', async () => {
    const { hostname, port, pathname } = new URL(schemaRegistryUrl)
    const proxy = await tcpProxy({ host: hostname, port: Number(port) })
    after(() => proxy.close())
    const registry = openConfluentRegistry({ url: `http://127.0.0.1:${proxy.port}${pathname}`, timeoutMs: 300 })
    proxy.blackhole(true)
    await Promise.all(everyCall(registry).map(assertOutage))
    proxy.blackhole(false)
    await registry.versions(newSubject())
  })

  const answers: Readonly<Record<string, (response: ServerResponse) => void>> = {
    'an error of the server': (response) => response.writeHead(500).end('{"error_code":50001,"message":"store"}'),
    'an error of a proxy': (response) => response.writeHead(502).end('<html>'),
    'an error with the body null': (response) => response.writeHead(500).end('null'),
    'too many requests': (response) => response.writeHead(429).end('{"error_code":42901}'),
    "a proxy's not found": (response) => response.writeHead(404).end('{"message":"no route"}'),
    'a redirect': (response) => response.writeHead(302, { location: '/' }).end(),
    'a page in place of JSON': (response) => response.writeHead(200).end('<html>welcome</html>'),
    'JSON of something else': (response) => response.writeHead(200).end('{"hello":"world"}'),
    'an empty answer': (response) => response.writeHead(200).end(),
    'half an answer': (response) => {
      response.writeHead(200, { 'content-length': 100 })
      response.write('{"schema":', () => response.destroy())
    },
    'an answer that never ends': (response) => void response.writeHead(200).write('{"schema":'),
    'an answer without end': (response) => {
      const more = (error?: Error | null) => error || response.write(' '.repeat(1 << 20), more)
      response.writeHead(200)
      more()
    },
  }
  for (const [name, answer] of Object.entries(answers)) {
    test(`${name} is an outage, condemns no record and is not remembered`, async () => {
      const proxy = await httpProxy()
      const registry = openConfluentRegistry({ url: proxy.url, timeoutMs: 1000 })
      const id = await registered()
      proxy.answer = answer
      await assertOutage(registry.schemaById(id))
      await Promise.all(everyCall(registry).map(assertOutage))
      proxy.answer = undefined
      assert.equal((await registry.schemaById(id)).type, 'record')
    })
  }

  test('with wrong credentials an operator must act, with the right ones all works, and no error holds them', async () => {
    const proxy = await httpProxy()
    proxy.authorization = `Basic ${Buffer.from('me:hush-hush').toString('base64')}`
    const wrong = [{ url: proxy.url }, { url: proxy.url, username: 'me', password: 'sesame-sesame' }]
    for (const address of wrong) {
      const isRefusal = (error: unknown) => {
        assert.ok(error instanceof SetupError, String(error))
        assert.equal(error.code, 'registry-refused')
        return !error.message.includes('sesame')
      }
      await Promise.all(everyCall(openConfluentRegistry(address)).map((call) => assert.rejects(call, isRefusal)))
    }
    await openConfluentRegistry({ url: proxy.url, username: 'me', password: 'hush-hush' }).versions(newSubject())
    const inUrl = openConfluentRegistry({ url: proxy.url.replace('http://', 'http://me:hush-hush@') })
    await inUrl.versions(newSubject())
    await inUrl.register(newSubject(), track('a'))
  })

  test('TLS: a registry of a known authority is spoken to, one of an unknown authority is not', async (t) => {
    const { hostname, port, pathname } = new URL(schemaRegistryUrl)
    const front = await tlsFront({ host: hostname, port: Number(port) })
    if (front === undefined) return t.skip('openssl, which makes the certificate, is not on this machine')
    const url = `https://127.0.0.1:${front.port}${pathname}`
    const id = await registered()
    const registry = openConfluentRegistry({ url, tls: { ca: front.cert } })
    assert.equal((await registry.schemaById(id)).type, 'record')
    await registry.register(newSubject(), track('a'))
    await assertOutage(openConfluentRegistry({ url }).schemaById(id))
  })

  test('a subject is BACKWARD_TRANSITIVE before its first version, and a stricter level stays', async () => {
    const proxy = await httpProxy()
    const registry = openConfluentRegistry({ url: proxy.url })
    const [fresh, loose, strict] = [newSubject(), newSubject(), newSubject()]
    await openConfluentRegistry({ url: schemaRegistryUrl }).register(loose, track('a', 'b'))
    await setLevel(loose, 'NONE')
    await setLevel(strict, 'FULL_TRANSITIVE')
    for (const subject of [fresh, loose, strict]) await registry.register(subject, track('a'))
    assert.deepEqual(await Promise.all([fresh, loose, strict].map(levelOf)), [
      'BACKWARD_TRANSITIVE',
      'BACKWARD_TRANSITIVE',
      'FULL_TRANSITIVE',
    ])
    const ofFresh = proxy.asked.filter((asked) => asked.includes(fresh))
    const level = ofFresh.findIndex((asked) => asked.startsWith('PUT'))
    assert.ok(level >= 0 && level < ofFresh.findIndex((asked) => asked.startsWith('POST')), ofFresh.join('\n'))
  })

  test('processes that register the same schema at the same time get one id and one version', async () => {
    const subject = newSubject()
    const registries = Array.from({ length: 5 }, () => openConfluentRegistry({ url: schemaRegistryUrl }))
    const ids = await Promise.all(registries.map((registry) => registry.register(subject, track('a', 'b'))))
    assert.equal(new Set(ids).size, 1)
    assert.equal((await registries[0]!.versions(subject)).length, 1)
  })

  test('a schema that another process makes incompatible meanwhile is refused by name of its field', async () => {
    const proxy = await httpProxy()
    const subject = newSubject()
    const [first, second] = [
      openConfluentRegistry({ url: proxy.url }),
      openConfluentRegistry({ url: schemaRegistryUrl }),
    ]
    await second.register(subject, track('a'))
    // Once the first has seen the versions and found its schema fit, the second changes the type of the same field.
    proxy.before = async (asked) => {
      if (!asked.startsWith('POST')) return
      proxy.before = undefined
      await second.register(subject, track('a', { name: 'b', type: 'string', default: '' }))
    }
    await assert.rejects(
      first.register(subject, track('a', { name: 'b', type: 'int', default: 0 })),
      (error: SetupError) => {
        assert.ok(error instanceof SetupError, String(error))
        assert.equal(error.code, 'incompatible-schema')
        assert.match(error.message, new RegExp(`${subject}.* at b:`))
        return true
      },
    )
    assert.equal((await second.versions(subject)).length, 2)
  })

  test("another team's schema that is no Avro is the record's fault, found once, and no version of our subject", async () => {
    const subject = newSubject()
    const path = `${schemaRegistryUrl}/subjects/${subject}/versions`
    const json = { schemaType: 'JSON', schema: '{"$schema":"http://json-schema.org/draft-07/schema#","type":"object"}' }
    const { id } = (await (await fetch(path, { method: 'POST', body: JSON.stringify(json), headers })).json()) as {
      id: number
    }
    const proxy = await httpProxy()
    const registry = openConfluentRegistry({ url: proxy.url })
    for (let i = 0; i < 3; i++) {
      await assert.rejects(
        registry.schemaById(id),
        (error) => error instanceof InvalidRecordError && error.code === 'undecodable',
      )
    }
    assert.equal(proxy.asked.length, 1)
    await assert.rejects(
      registry.register(subject, track('a')),
      (error) => error instanceof SetupError && error.code === 'incompatible-schema' && error.message.includes(subject),
    )
  })

  test('records wait out a registry that is away, whatever is encoded or decoded first', async () => {
    const proxy = await httpProxy()
    const codec = createCodec(openConfluentRegistry({ url: proxy.url }))
    const value = { uploadId: 'u', kind: 'track', reason: null, removedAt: 1 } as const
    proxy.answer = answers['an error of the server']
    await assertOutage(codec.encode(uploadsRemoved, value))
    proxy.answer = undefined
    const bytes = await codec.encode(uploadsRemoved, value)
    const other = createCodec(openConfluentRegistry({ url: proxy.url }))
    proxy.answer = answers['an error of the server']
    await assertOutage(other.decode(uploadsRemoved, bytes))
    proxy.answer = (response) => response.writeHead(401).end('{"error_code":40101}')
    await assertOutage(other.decode(uploadsRemoved, bytes))
    await assertOutage(other.encode(uploadsRemoved, value))
    proxy.answer = undefined
    assert.deepEqual({ ...(await other.decode(uploadsRemoved, bytes)) }, value)
    proxy.answer = answers['an error of the server']
    assert.deepEqual({ ...(await other.decode(uploadsRemoved, await codec.encode(uploadsRemoved, value))) }, value)
  })
})

const headers = { 'content-type': 'application/vnd.schemaregistry.v1+json' }

interface HttpProxy {
  readonly url: string
  /** 'METHOD path' of each request that came. */
  readonly asked: string[]
  /** Answers in place of the registry. */
  answer: ((response: ServerResponse) => void) | undefined
  /** Waited for before a request is answered, or goes on to the registry. */
  before: ((asked: string) => Promise<void>) | undefined
  /** Asked of each request. */
  authorization: string | undefined
}

/** In front of the real registry, until the test ends. */
async function httpProxy(): Promise<HttpProxy> {
  const { origin, pathname } = new URL(schemaRegistryUrl)
  const server = createServer((request, response) => void pass(request, response))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  after(() => {
    server.closeAllConnections()
    server.close()
  })
  const proxy: HttpProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${pathname}`,
    asked: [],
    answer: undefined,
    before: undefined,
    authorization: undefined,
  }
  async function pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const asked = `${request.method} ${request.url}`
    proxy.asked.push(asked)
    const body = Buffer.concat(await request.toArray())
    await proxy.before?.(asked)
    if (proxy.answer !== undefined) return proxy.answer(response)
    if (proxy.authorization !== undefined && request.headers.authorization !== proxy.authorization) {
      return void response.writeHead(401).end('{"error_code":40101,"message":"who are you"}')
    }
    const { method = 'GET' } = request
    const answer = await fetch(`${origin}${request.url}`, { method, headers, ...(body.length > 0 && { body }) })
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'text/plain' })
    response.end(Buffer.from(await answer.arrayBuffer()))
  }
  return proxy
}

function everyCall(registry: SchemaRegistry): Promise<unknown>[] {
  return [registry.schemaById(NOBODYS_ID), registry.versions(newSubject()), registry.register(newSubject(), track('a'))]
}

async function assertOutage(call: Promise<unknown>): Promise<void> {
  await assert.rejects(call, (error) => {
    assert.ok(error instanceof OutageError, String(error))
    return true
  })
}

/** A schema that nobody has asked for. */
function registered(): Promise<number> {
  return openConfluentRegistry({ url: schemaRegistryUrl }).register(newSubject(), track(`f${randomUUID().slice(0, 8)}`))
}

function newSubject(): string {
  return `faults.${randomUUID()}-value`
}

function track(...fields: (string | object)[]) {
  return {
    type: 'record',
    name: 'Track',
    fields: fields.map((field) => (typeof field === 'string' ? { name: field, type: 'string' } : field)),
  }
}

async function setLevel(subject: string, compatibility: string): Promise<void> {
  const body = JSON.stringify({ compatibility })
  const answer = await fetch(`${schemaRegistryUrl}/config/${subject}`, { method: 'PUT', body, headers })
  assert.equal(answer.status, 200)
}

async function levelOf(subject: string): Promise<unknown> {
  const answer = await fetch(`${schemaRegistryUrl}/config/${subject}`)
  return ((await answer.json()) as { compatibilityLevel: string }).compatibilityLevel
}
