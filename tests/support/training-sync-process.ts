/**
 * A child process that brings training data from the embedded broker of one folder to another folder, and says after each
 * record how many it has read, until it is done or killed. Arguments: data folder, folder of the training data.
 */
import { writeSync } from 'node:fs'
import { syncTriplets } from '../../trainer/data/triplet-shards.ts'
import { embeddedTripletTopics } from './triplet-topics.ts'

const [dataFolder, folder] = process.argv.slice(2)
const topics = await embeddedTripletTopics(dataFolder!)
const onProgress = (done: number) => writeSync(1, `read ${done}\n`)
await syncTriplets({ ...topics, folder: folder!, fullBytes: 600, onProgress })
await topics.close()
