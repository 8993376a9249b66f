import { kafkaKilled } from './scenarios/kafka-killed.ts'
import { testShortForm } from './short-form.ts'

testShortForm(kafkaKilled)
