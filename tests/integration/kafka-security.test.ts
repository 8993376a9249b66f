/** Kafka over TLS with users and passwords. The certificate beside this file is for this test alone. */
import assert from 'node:assert/strict'
import { pbkdf2Sync, randomBytes, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { openKafkaBroker } from '../../adapters/kafka/broker.ts'
import { ByteWriter } from '../../adapters/kafka/bytes.ts'
import type { KafkaLogger, KafkaOptions } from '../../adapters/kafka/client.ts'
import { kafkaClient } from '../../adapters/kafka/client.ts'
import { Nodes } from '../../adapters/kafka/nodes.ts'
import { openKafkaTopicAdmin } from '../../adapters/kafka/topic-admin.ts'
import { SetupError } from '../../ports/errors.ts'
import { type Services, startServices } from '../../services/start-services.ts'
import { until } from '../conformance/deadline.ts'
import { copy, everythingIn, newTopic, record, testBroker, text } from './kafka-fixtures.ts'

const pem = (name: string) => readFileSync(new URL(`kafka-tls/${name}.pem`, import.meta.url), 'utf8')
const PASSWORD = 'correct horse battery staple'
const ADMIN_PASSWORD = 'admin-secret'
const ITERATIONS = 4096

let services: Services
let options: KafkaOptions
before(async () => {
  const inOneLine = (text: string) => text.trim().replaceAll('\n', '\\n')
  const plain = 'org.apache.kafka.common.security.plain.PlainLoginModule required'
  const scram = 'org.apache.kafka.common.security.scram.ScramLoginModule required;'
  services = await startServices({
    want: ['kafka'],
    rungs: ['docker', 'local'],
    kafkaSettings: {
      'listener.security.protocol.map': 'PLAINTEXT:SASL_SSL,CONTROLLER:PLAINTEXT',
      'ssl.keystore.type': 'PEM',
      'ssl.keystore.key': inOneLine(pem('key')),
      'ssl.keystore.certificate.chain': inOneLine(pem('certificate')),
      'ssl.truststore.type': 'PEM',
      'ssl.truststore.certificates': inOneLine(pem('certificate')),
      'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
      'sasl.mechanism.inter.broker.protocol': 'PLAIN',
      'listener.name.plaintext.plain.sasl.jaas.config': `${plain} username="admin" password="${ADMIN_PASSWORD}" user_admin="${ADMIN_PASSWORD}";`,
      'listener.name.plaintext.scram-sha-256.sasl.jaas.config': scram,
      'listener.name.plaintext.scram-sha-512.sasl.jaas.config': scram,
    },
  })
  options = { brokers: services.kafkaBrokers, clientId: 'test', tls: { ca: pem('certificate') } }
  for (const hash of ['sha256', 'sha512'] as const) await createScramUser('cuestream', hash)
})
after(() => services?.stop())

const plainAdmin = { mechanism: 'plain', username: 'admin', password: ADMIN_PASSWORD } as const

/** AlterUserScramCredentials 0, which kafkajs lacks: one credential of a user at a time. */
async function createScramUser(name: string, hash: 'sha256' | 'sha512'): Promise<void> {
  const salt = randomBytes(16)
  const salted = pbkdf2Sync(PASSWORD, salt, ITERATIONS, hash === 'sha256' ? 32 : 64, hash)
  const body = new ByteWriter().noTags().compactArray([], () => {})
  body.compactArray([name], (writer) => {
    writer
      .compactString(name)
      .int8(hash === 'sha256' ? 1 : 2)
      .int32(ITERATIONS)
    for (const bytes of [salt, salted]) writer.uvarint(bytes.length + 1).raw(bytes)
    writer.noTags()
  })
  const bytes = body.noTags().written()
  const encode = async () => ({ buf: bytes, buffer: bytes })
  const nodes = new Nodes({ ...options, sasl: plainAdmin })
  const controller = await nodes.controller()
  const answer = await controller.send({
    request: { apiKey: 51, apiVersion: 0, apiName: 'AlterUserScramCredentials', encode },
    response: { decode: async (payload) => ({ payload }), parse: async ({ payload }: { payload: Buffer }) => payload },
  })
  nodes.close()
  const errorAt = 1 + 4 + 1 + 1 + name.length // tags, throttle time, length of the results, name
  assert.equal(answer.readInt16BE(errorAt), 0, answer.toString())
}

for (const mechanism of ['scram-sha-256', 'scram-sha-512', 'plain'] as const) {
  test(`members produce, commit and read over TLS with ${mechanism}`, async (t) => {
    const user = mechanism === 'plain' ? plainAdmin : { mechanism, username: 'cuestream', password: PASSWORD }
    const broker = await testBroker(t, { ...options, sasl: user })
    const [from, to] = [await newTopic(broker, { partitions: 2 }), await newTopic(broker)]
    await until(
      () => broker.produce([0, 1].map((p) => record(from, `${p}`, { partition: p }))).then(() => true),
      'producing',
    )
    const copier = await copy(broker, { group: randomUUID(), from, to })
    await until(async () => (await everythingIn(broker, to)).length === 2, 'the copies')
    await copier.stop()
    assert.deepEqual((await everythingIn(broker, to)).map(text).sort(), ['0', '1'])
  })
}

test('a wrong password is told at once, and stands in no message and no log', async () => {
  const wrong = 'not the password'
  const lines: string[] = []
  const write = (fields: object, message: string) => void lines.push(JSON.stringify(fields) + message)
  const logger: KafkaLogger = { debug: write, info: write, warn: write }
  for (const mechanism of ['scram-sha-512', 'plain'] as const) {
    const sasl = { mechanism, username: 'cuestream', password: wrong }
    await assert.rejects(openKafkaBroker({ ...options, sasl, logger }), (error) => {
      assert.ok(error instanceof SetupError && error.code === 'kafka-access', String(error))
      for (let cause: unknown = error; cause instanceof Error; cause = cause.cause)
        lines.push(cause.stack!, JSON.stringify(cause))
      return true
    })
  }
  assert.ok(lines.length > 4)
  const encoded = [wrong, Buffer.from(wrong).toString('base64'), encodeURIComponent(wrong)]
  assert.deepEqual(
    lines.filter((line) => encoded.some((form) => line.includes(form))),
    [],
  )
})

test('a certificate that nobody vouches for is told as such', async () => {
  const isMistrust = (error: unknown) => error instanceof SetupError && error.code === 'kafka-tls'
  await assert.rejects(openKafkaBroker({ ...options, tls: true, sasl: plainAdmin }), isMistrust)
})

test('topics are compared over the same connection settings', async (t) => {
  const admin = await openKafkaTopicAdmin(kafkaClient({ ...options, sasl: plainAdmin }))
  t.after(() => admin.close())
  assert.ok(Array.isArray(await admin.names()))
})
