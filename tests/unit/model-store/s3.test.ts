import assert from 'node:assert/strict'
import { test } from 'node:test'
import { objectUrl } from '../../../adapters/model-store/s3-request.ts'
import { elementsOf } from '../../../adapters/model-store/s3-xml.ts'

const address = { region: 'us-east-1', bucket: 'a.bucket', accessKey: 'key', secretKey: 'secret' }

test('the bucket stands in the path of an address or before its host', () => {
  const at = (endpoint: string, pathStyle: boolean) => objectUrl({ ...address, endpoint, pathStyle }, 'a/b.json').href
  assert.equal(at('https://s3.example.com:9000', true), 'https://s3.example.com:9000/a.bucket/a/b.json')
  assert.equal(at('http://s3.example.com/', true), 'http://s3.example.com/a.bucket/a/b.json')
  assert.equal(at('https://s3.example.com:9000', false), 'https://a.bucket.s3.example.com:9000/a/b.json')
  assert.throws(() => at('http://127.0.0.1:9000', false), { code: 'bad-config', message: /modelStorePathStyle/ })
})

test('texts of elements come in order, with what XML escapes', () => {
  const xml =
    '<List><Key>a/b</Key><Other>x</Other><Key>&lt;&amp;&gt; &#65;&#x42;&quot;&apos;</Key><Key/><Key></Key></List>'
  assert.deepEqual(elementsOf(xml, 'Key'), ['a/b', `<&> AB"'`, ''])
  assert.deepEqual(elementsOf('<Keys>a</Keys><Key>b<i>c</i></Key><Key>cut', 'Key'), [])
  assert.deepEqual(elementsOf('<Key>&#x110000;&nbsp;&#99999999;</Key>', 'Key'), ['&#x110000;&nbsp;&#99999999;'])
})
