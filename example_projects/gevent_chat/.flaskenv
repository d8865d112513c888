FLASK_APP=chat:create_app
