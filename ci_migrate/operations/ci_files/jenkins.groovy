// Pull requests: the revisions that a branch adds are checked; no database, no secret.
// $branch: backs up, rehearses on the restored backup, and stops with exit 4 until somebody approves. Then build with the
// token as the parameter CI_MIGRATE_TOKEN.
// Credential $variable: secret text, the target's URL. CI_MIGRATE_BACKUP_DIR: a place that outlives the agent, s3://bucket/prefix.
pipeline {
  agent { docker { image 'python:$python' } } // best by the digest that your registry shows
  options { disableConcurrentBuilds() }
  parameters { password(name: 'CI_MIGRATE_TOKEN', defaultValue: '', description: 'Approval token') }
  stages {
    stage('install') {
      steps {
        sh '''set -e
cd "$folder"
$install
$gate'''
      }
    }
    stage('$name-check') {
      when { changeRequest() }
      steps { sh 'cd "$folder" && exec ci-migrate check --since "origin/$$CHANGE_TARGET"' }
    }
    stage('$name') {
      when { branch '$branch' }
      steps {
        withCredentials([string(credentialsId: '$variable', variable: '$variable')]) {
          sh 'cd "$folder" && exec ci-migrate run --target production'
        }
      }
    }
  }
  post {
    always {
      junit allowEmptyResults: true, testResults: '$inside$reports/junit.xml'
      archiveArtifacts allowEmptyArchive: true, artifacts: '$inside$reports/**'
    }
  }
}
