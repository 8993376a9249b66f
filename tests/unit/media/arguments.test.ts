import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inputArguments } from '../../../adapters/media/arguments.ts'
import { demuxers } from '../../../adapters/media/container.ts'
import { defaultDecoderLimits } from '../../../adapters/media/limits.ts'

test('before the input the container is forced and only files and the named decoders are allowed', () => {
  for (const demuxer of demuxers) {
    const argv = inputArguments({ path: '/store/-i %03d.mp4', demuxer }, 'h264,aac', defaultDecoderLimits)
    assert.deepEqual(argv.slice(-2), ['-i', 'file:/store/-i %03d.mp4'])
    const options = new Map<string, string | undefined>()
    for (const [i, name] of argv.entries()) if (name.startsWith('-')) options.set(name, argv[i + 1])
    assert.equal(options.get('-f'), demuxer)
    assert.equal(options.get('-format_whitelist'), demuxer)
    assert.equal(options.get('-protocol_whitelist'), 'file')
    assert.equal(options.get('-codec_whitelist'), 'h264,aac')
    assert.equal(options.get('-max_pixels'), '50000000')
    assert.equal(options.get('-enable_drefs'), demuxer === 'mov' ? '0' : undefined)
  }
})
