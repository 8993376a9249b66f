import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { configurationTable, loadConfig } from '../../../runtime/config.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

describe('configuration', () => {
  const folder = temporaryFolder()
  const file = join(folder, 'cuestream.json')

  test('flags win over the environment, and the environment over the file', () => {
    writeFileSync(file, JSON.stringify({ port: 1111, seed: 7, logLevel: 'warn' }))
    const config = loadConfig({ file, env: { CUESTREAM_PORT: '2222', CUESTREAM_SEED: '8' }, flags: { port: 3333 } })
    assert.deepEqual([config.port, config.seed, config.logLevel], [3333, 8, 'warn'])
  })

  test('every bad key is reported at once, by the name it was given under', () => {
    writeFileSync(file, JSON.stringify({ seed: -1, colour: 'red' }))
    const env = { CUESTREAM_PORT: 'http', CUESTREAM_DEADLINE: '5', HOME: '/root' }
    assert.throws(
      () => loadConfig({ file, env, flags: { logLevel: 'loud' } }),
      (error: Error) => {
        for (const name of [
          `${file}: Too small`,
          `${file}: colour: there is no such key`,
          'CUESTREAM_PORT',
          'CUESTREAM_DEADLINE',
          '--log-level',
        ]) {
          assert.ok(error.message.includes(name), `${name} is missing in: ${error.message}`)
        }
        return true
      },
    )
  })

  test('a file that is missing or not JSON is an error that names it', () => {
    assert.throws(() => loadConfig({ env: {}, file: join(folder, 'none.json') }), /none\.json does not exist/)
    writeFileSync(file, 'port: 1')
    assert.throws(() => loadConfig({ env: {}, file }), /is not JSON/)
  })

  test('lists come as commas or as arrays, switches as words', () => {
    const config = loadConfig({
      env: { CUESTREAM_MEDIA_HOSTS: 'a.example, b.example', CUESTREAM_ALLOW_PRIVATE_HOSTS: 'false' },
    })
    assert.deepEqual(config.mediaHosts, ['a.example', 'b.example'])
    assert.equal(config.allowPrivateHosts, false)
  })

  test('the configuration cannot be changed once read', () => {
    const config = loadConfig({ env: {} }) as { port: number }
    assert.throws(() => {
      config.port = 1
    }, TypeError)
  })

  test('Kafka, its registry and Redis are chosen together, by the names that other tools give them too', () => {
    const services = { KAFKA_BROKERS: 'a:1,b:2', SCHEMA_REGISTRY_URL: 'http://r:8081', REDIS_URL: 'rediss://s:6379' }
    assert.deepEqual(loadConfig({ env: services }).kafkaBrokers, ['a:1', 'b:2'])
    const indexAlone = { CUESTREAM_REDIS_INDEX_URLS: 'redis://s:6379' }
    assert.throws(() => loadConfig({ env: indexAlone }), /REDIS_URL: is needed with CUESTREAM_REDIS_INDEX_URLS/)
    const noEndpoint = { CUESTREAM_DESCRIPTION: 'prompt2text' }
    assert.throws(() => loadConfig({ env: noEndpoint }), /CUESTREAM_LLM_URL: is needed with description = prompt2text/)
    const noModel = { CUESTREAM_LLM_URL: 'http://127.0.0.1:1/v1' }
    assert.throws(() => loadConfig({ env: noModel }), /CUESTREAM_LLM_MODEL: is needed with CUESTREAM_LLM_URL/)
    const noPrice = { CUESTREAM_LLM_BUDGET_USD: '5' }
    assert.throws(() => loadConfig({ env: noPrice }), /_INPUT: is needed with[\s\S]*_OUTPUT: is needed with/)
    const bad = { KAFKA_BROKERS: 'a:1', REDIS_URL: 'http://s', CUESTREAM_KAFKA_SASL_MECHANISM: 'plain' }
    assert.throws(
      () => loadConfig({ env: bad }),
      (error: Error) => {
        for (const part of [
          'REDIS_URL: must be like redis://',
          'SCHEMA_REGISTRY_URL: is needed with KAFKA_BROKERS',
          'CUESTREAM_KAFKA_SASL_PASSWORD_FILE or CUESTREAM_KAFKA_SASL_PASSWORD: is needed',
        ])
          assert.ok(error.message.includes(part), `${part}: ${error.message}`)
        return true
      },
    )
  })

  test('a bucket for releases needs its keys; no address may hold a password, and none is repeated', () => {
    const bucket = { CUESTREAM_MODEL_STORE_URL: 's3://releases/a/b' }
    const keys = { CUESTREAM_MODEL_STORE_ACCESS_KEY: 'a', CUESTREAM_MODEL_STORE_SECRET_KEY_FILE: '/run/secrets/s3' }
    assert.equal(loadConfig({ env: { ...bucket, ...keys } }).modelStoreUrl, 's3://releases/a/b')
    const bad = { CUESTREAM_MODEL_STORE_ENDPOINT: 'https://me:hush@host', CUESTREAM_MODEL_STORE_REGION: 'a/b' }
    assert.throws(
      () => loadConfig({ env: { ...bucket, ...bad } }),
      (error: Error) => {
        for (const part of [
          'CUESTREAM_MODEL_STORE_ENDPOINT: must be like',
          'CUESTREAM_MODEL_STORE_REGION: must be like',
          'CUESTREAM_MODEL_STORE_ACCESS_KEY_FILE or CUESTREAM_MODEL_STORE_ACCESS_KEY: is needed',
          'CUESTREAM_MODEL_STORE_SECRET_KEY_FILE or CUESTREAM_MODEL_STORE_SECRET_KEY: is needed',
        ])
          assert.ok(error.message.includes(part), `${part}: ${error.message}`)
        assert.ok(!error.message.includes('hush'), error.message)
        return true
      },
    )
    for (const url of ['s3://', 's3://Bucket', 'https://bucket', 's3://bucket/../other', 's3://me:hush@bucket']) {
      const env = { ...keys, CUESTREAM_MODEL_STORE_URL: url }
      assert.throws(() => loadConfig({ env }), /CUESTREAM_MODEL_STORE_URL: must be like/, url)
    }
  })

  test('docs/configuration.md is the table that the schema gives', () => {
    const page = readFileSync(new URL('../../../docs/configuration.md', import.meta.url), 'utf8')
    assert.ok(page.includes(configurationTable()), 'run `npm run docs`')
  })
})
